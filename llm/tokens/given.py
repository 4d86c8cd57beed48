"""A tokenizer of another program as one of ours: in place of learning one.

Its vocabulary, its merges and its split stay as they are. Behind them come those of Ingot's special
tokens that it lacks, for a model that is trained from the start has rows for whatever there is;
but the token behind every document it has to have.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm.errors import ExpectedError
from llm.tokens.hf_folder import MissingSpecialTokenError, special_id, write_folder
from llm.tokens.special_tokens import END_OF_TEXT, SPECIAL_TOKENS
from llm.tokens.token_bytes import NotByteLevelError, token_bytes

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class GivenTokenizerError(ExpectedError, ValueError):
    """A tokenizer cannot be taken: names the file, and what it lacks."""


class NoDocumentEndError(GivenTokenizerError):
    """A tokenizer lacks the token that stands behind every document."""


def take(path: Path, folder: Path) -> int:
    """Write the tokenizer of a `tokenizer.json` into an existing folder, with our chat template;
    the size of its vocabulary.

    Raises:
        NoDocumentEndError: it has no special token `<|endoftext|>`.
        GivenTokenizerError: it is none, or there are bytes for which it has no token.
    """
    from tokenizers import AddedToken, Tokenizer

    try:
        found = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower one
        raise GivenTokenizerError(f"{path} is no tokenizer: {error}") from error
    _check_end(found, path)
    found.no_truncation()
    found.no_padding()
    added = found.get_added_tokens_decoder()
    have = {token.content for token in added.values() if token.special}
    ordinary = [token for token in SPECIAL_TOKENS if token not in have and _is_text(found, token)]
    if ordinary:
        raise GivenTokenizerError(
            f"{path}: {', '.join(ordinary)} is an ordinary token of it, which a text may hold; "
            "make it a special one (add_special_tokens)"
        )
    lacking = [token for token in SPECIAL_TOKENS if token not in have]
    found.add_special_tokens([AddedToken(token, normalized=False) for token in lacking])
    write_folder(found, folder, END_OF_TEXT)
    _check_bytes(path, folder)
    return int(found.get_vocab_size())


def _check_end(found: Tokenizer, path: Path) -> None:
    try:
        special_id(found, END_OF_TEXT)
    except MissingSpecialTokenError as error:
        raise NoDocumentEndError(
            f"{path} has no special token {END_OF_TEXT}, which stands behind every document: the "
            "model would not learn where a text ends. Add it, and save the tokenizer again: "
            f'tokenizer.add_special_tokens({{"additional_special_tokens": ["{END_OF_TEXT}"]}})'
        ) from error


def _is_text(found: Tokenizer, token: str) -> bool:
    return found.token_to_id(token) is not None


def _check_bytes(path: Path, folder: Path) -> None:
    """Make sure that every text can be told in tokens."""
    try:
        pieces = set(token_bytes(folder / "tokenizer.json"))
    except NotByteLevelError as error:
        raise GivenTokenizerError(
            f"{path}: {error}; a byte-level BPE, or one that falls back on bytes, can be taken"
        ) from error
    lacking = [byte for byte in range(256) if bytes([byte]) not in pieces]
    if lacking:
        raise GivenTokenizerError(
            f"{path} has no token for {len(lacking)} of 256 bytes (the first is "
            f"{lacking[0]:#04x}): some texts could not be told in tokens. Take one with a "
            "byte-level alphabet"
        )
