"""How well a tokenizer fits a text: fertility and compression."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from llm.tokens.encoding import DocumentEncoder, encoder


@dataclass(frozen=True)
class Fertility:
    """Counts over some documents.

    Attributes:
        characters: Unicode code points.
        size: bytes in UTF-8.
        words: runs of characters between white space.
        tokens: without the end of text.
    """

    documents: int
    characters: int
    size: int
    words: int
    tokens: int

    def __add__(self, other: Fertility) -> Fertility:
        """Counts over the documents of both."""
        return Fertility(
            self.documents + other.documents,
            self.characters + other.characters,
            self.size + other.size,
            self.words + other.words,
            self.tokens + other.tokens,
        )

    @property
    def tokens_per_word(self) -> float | None:
        """Fertility (Rust et al. 2021, section 3.2); `None` without words."""
        return self.tokens / self.words if self.words else None

    @property
    def bytes_per_token(self) -> float | None:
        """Compression: greater is better; `None` without tokens."""
        return self.size / self.tokens if self.tokens else None


def fertility(encoder: DocumentEncoder, texts: Iterable[str]) -> Fertility:
    """Count `texts` and their tokens."""
    read = list(texts)
    return Fertility(
        documents=len(read),
        characters=sum(map(len, read)),
        size=sum(len(text.encode()) for text in read),
        words=sum(len(text.split()) for text in read),
        tokens=int(encoder.counts(read).sum()),
    )


def by_group(documents: pa.Table, folder: str) -> dict[tuple[str, str], Fertility]:
    """The counts of documents (columns source, split, text) by source and split.

    Args:
        folder: with `tokenizer.json`.
    """
    texts: dict[tuple[str, str], list[str]] = {}
    for row in documents.select(["source", "split", "text"]).to_pylist():
        texts.setdefault((row["source"] or "", row["split"]), []).append(row["text"])
    return {group: fertility(encoder(folder), members) for group, members in texts.items()}
