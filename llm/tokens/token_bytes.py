"""The bytes each token stands for, read from the vocabulary.

Bits per byte divides by the bytes of the text, so each token needs its length in bytes. Decoding
a token to a string and encoding that again is wrong for every token that holds a part of a
character: it decodes to U+FFFD, three bytes long.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError

_BYTE, _SPACE = re.compile("<0x([0-9A-F]{2})>"), "\u2581"


class NotByteLevelError(ExpectedError, ValueError):
    """A vocabulary has a token that is not written in the byte-level alphabet."""


@cache
def byte_alphabet() -> dict[str, int]:
    """Character -> byte, of the alphabet in which byte-level BPE writes its tokens (GPT-2).

    Bytes that are printable in Latin-1 stand for themselves; the others, in order, for the
    characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(printable))
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + place): byte for place, byte in enumerate(others)})
    return alphabet


def token_bytes(path: Path) -> list[bytes]:
    """The bytes of each token by id; empty for special tokens, which stand for no text.

    Args:
        path: of a `tokenizer.json` with a byte-level BPE model, or one that falls back on bytes
            (as SentencePiece does: `<0x0A>` is a byte, `\u2581` a space).

    Raises:
        NotByteLevelError: a token has a character outside the byte-level alphabet, or ids do not
            run from 0 without a gap.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    falls_back = bool(record["model"].get("byte_fallback"))
    # What is added beside the vocabulary is written as the text it is.
    added = {
        token["id"]: b"" if token["special"] else token["content"].encode()
        for token in record["added_tokens"]
    }
    written = {index: token for token, index in record["model"]["vocab"].items()}
    alphabet, found = byte_alphabet(), []
    for index in range(len(written.keys() | added.keys())):
        if index in added:
            found.append(added[index])
            continue
        if index not in written:
            raise NotByteLevelError(f"{path}: no token has the id {index}; the ids have a gap")
        if falls_back:
            found.append(_piece_bytes(written[index]))
            continue
        try:
            found.append(bytes(alphabet[character] for character in written[index]))
        except KeyError as error:
            raise NotByteLevelError(
                f"{path}: token {index}, {written[index]!r}, holds {error.args[0]!r}, which no "
                "byte-level vocabulary has; use a tokenizer of the tokenizer stage"
            ) from error
    return found


def _piece_bytes(piece: str) -> bytes:
    """Bytes of a piece of SentencePiece's."""
    byte = _BYTE.fullmatch(piece)
    return bytes([int(byte[1], 16)]) if byte else piece.replace(_SPACE, " ").encode()


def token_byte_lengths(path: Path) -> NDArray[np.int32]:
    """int32 (vocabulary,): bytes of each token of a `tokenizer.json`, 0 for special tokens."""
    return np.array([len(piece) for piece in token_bytes(path)], dtype=np.int32)
