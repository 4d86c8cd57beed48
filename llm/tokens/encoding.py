"""Documents to token ids."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.tokens.hf_folder import load_tokenizer, special_id
from llm.tokens.special_tokens import END_OF_TEXT


def tokens_of(documents: pa.Table, folder: str) -> pa.ListArray:
    """The tokens of documents (column text), see `DocumentEncoder.documents`."""
    return encoder(folder).documents(documents.column("text").to_pylist())


@lru_cache(maxsize=1)
def encoder(folder: str) -> DocumentEncoder:
    return DocumentEncoder(Path(folder))


class DocumentEncoder:
    """Encodes documents, each with the end-of-text token behind it.

    What a page says is text: a page that holds the characters `<|im_end|>` is encoded as those
    characters, never as the special token.

    Args:
        folder: with `tokenizer.json`.

    Attributes:
        end_id: id of the token behind every document.

    Raises:
        MissingSpecialTokenError: the tokenizer has no end-of-text token.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = load_tokenizer(folder)
        self._tokenizer.encode_special_tokens = True
        self.end_id = special_id(self._tokenizer, END_OF_TEXT)

    def ids(self, text: str) -> NDArray[np.int32]:
        """int32 (tokens,): without the end-of-text token."""
        # A batch of one: it skips the offsets and starts no thread pool in a worker process.
        encoding = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]
        return np.array(encoding.ids, dtype=np.int32)

    def documents(self, texts: Sequence[str]) -> pa.ListArray:
        """list<int32> (documents,): the tokens of each text and the end of text."""
        end = np.array([self.end_id], dtype=np.int32)
        pieces = [piece for text in texts for piece in (self.ids(text), end)]
        lengths = [len(piece) + 1 for piece in pieces[::2]]
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32)
        values = np.concatenate([np.empty(0, np.int32), *pieces])
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
