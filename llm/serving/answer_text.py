"""The text of an answer while its tokens come: whole characters, and none of a stop text."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from llm.tokens.token_bytes import token_bytes


class TokenTexts:
    """The bytes of every token of a folder's tokenizer; special tokens are spelled out."""

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.json"
        self._bytes = token_bytes(path)
        for token, added in Tokenizer.from_file(str(path)).get_added_tokens_decoder().items():
            if added.special:
                self._bytes[token] = added.content.encode()

    def __len__(self) -> int:
        return len(self._bytes)

    def data(self, token: int) -> bytes:
        """Bytes of a token; none of one that pads the vocabulary."""
        return self._bytes[token] if token < len(self._bytes) else b""

    def text(self, tokens: Sequence[int]) -> str:
        """Text of tokens; U+FFFD for bytes that are no character."""
        return b"".join(map(self.data, tokens)).decode(errors="replace")


class AnswerText:
    """Tells what of an answer stands, and where a stop text ends it.

    Args:
        stops: the answer ends before the first of them; none is empty.

    Attributes:
        stopped: a stop text was met; what follows it is no part of the answer.
    """

    def __init__(self, texts: TokenTexts, stops: Sequence[str] = ()) -> None:
        self._texts, self._stops = texts, [stop for stop in stops if stop]
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """What stands once a token was added."""
        return self._add(self._decoder.decode(self._texts.data(token)))

    def finish(self) -> str:
        """What was held back, at the end of an answer."""
        said = self._add(self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return said if self.stopped else said + held

    def _add(self, new: str) -> str:
        if self.stopped:
            return ""
        text = self._held + new
        ends = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)]
        kept = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]


def _overlap(text: str, stop: str) -> int:
    """Characters at the text's end with which the stop text may begin."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
