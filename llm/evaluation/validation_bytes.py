"""An exact piece of validation text: the same for every model, and for a compressor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from llm.errors import ExpectedError
from llm.tables import VALIDATION


class NoValidationTextError(ExpectedError, ValueError):
    """No document is in the validation split."""


@dataclass(frozen=True)
class ValidationText:
    """Documents in order of doc_id; the last may be cut.

    Attributes:
        doc_ids: of each.
        items: the same; of a document that is cut, its bytes behind: DOC_ID:BYTES.
        sources: of each document; null where a table has none.
        available: bytes of all validation documents.
    """

    doc_ids: tuple[str, ...]
    items: tuple[str, ...]
    texts: tuple[str, ...]
    sources: tuple[str | None, ...]
    available: int

    @property
    def content(self) -> bytes:
        """All texts, one behind the other, in UTF-8."""
        return "".join(self.texts).encode()


NO_TEXT = ValidationText((), (), (), (), 0)


def validation_text(tables: Iterable[pa.Table], max_bytes: int) -> ValidationText:
    """The first `max_bytes` bytes of the validation documents.

    Fewer if there are no more, or if a character would be cut in two.

    Args:
        tables: with doc_id, split, source and text; documents without a text are passed over.

    Raises:
        NoValidationTextError: there is no validation document with a text.
    """
    held = [
        table.filter(pc.equal(table.column("split"), VALIDATION)).select(
            ["doc_id", "source", "text"]
        )
        for table in tables
    ]
    documents = pa.concat_tables(held).sort_by("doc_id") if held else None
    ids: list[str] = []
    items: list[str] = []
    texts: list[str] = []
    sources: list[str | None] = []
    available, room = 0, max_bytes
    for row in documents.to_pylist() if documents is not None else []:
        content = (row["text"] or "").encode()
        available += len(content)
        # Only the character at the cut can be incomplete, and it is left out.
        text = content[:room].decode("utf-8", "ignore")
        if text:
            ids.append(row["doc_id"])
            kept = len(text.encode())
            items.append(row["doc_id"] if kept == len(content) else f"{row['doc_id']}:{kept}")
            texts.append(text)
            sources.append(row["source"])
        room = max(0, room - len(content))
    if not texts:
        raise NoValidationTextError(
            "no document with a text is in the validation split; raise dedup.validation_fraction "
            "or add documents"
        )
    return ValidationText(tuple(ids), tuple(items), tuple(texts), tuple(sources), available)
