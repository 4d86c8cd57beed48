"""Documents to token ids."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.tokens.bulk_encoding import BulkEncoder
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
        by, refused: which library encodes, and why it is not the fast one (`BulkEncoder`).

    Raises:
        MissingSpecialTokenError: the tokenizer has no end-of-text token.
    """

    def __init__(self, folder: Path) -> None:
        self._encoder = BulkEncoder(folder)
        self.by, self.refused = self._encoder.by, self._encoder.refused
        self.end_id = special_id(load_tokenizer(folder), END_OF_TEXT)

    def ids(self, text: str) -> NDArray[np.int32]:
        """int32 (tokens,): without the end-of-text token."""
        return self._encoder.ids(text)

    def counts(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """int64 (texts,): the tokens of each, without the end of text."""
        return np.diff(self._encoder.flat(texts)[1])

    def documents(self, texts: Sequence[str]) -> pa.ListArray:
        """list<int32> (documents,): the tokens of each text and the end of text."""
        ids, offsets = self._encoder.flat(texts)
        ended = np.insert(ids, offsets[1:], self.end_id)
        offsets = offsets + np.arange(len(offsets))
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(ended))
