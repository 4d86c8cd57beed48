"""The examples of tables of documents, made under the net: a page that cannot be taken apart costs
that page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from llm.alignment.examples.tables import INSTRUCTION, PREFERENCE, Dropped, Kind, Outcome
from llm.corpus.identity import doc_id
from llm.process.guarded import LostDocument, guarded
from llm.pydocs.pages import SCHEME, module_of
from llm.pydocs.pairs import Document, PairSettings, examples_of
from llm.rows import begins_with, rows_with

COLUMNS = ["doc_id", "url", "text", "source", "split"]
_KINDS: tuple[Kind, ...] = (INSTRUCTION, PREFERENCE)


def documentation_examples(tables: Iterable[pa.Table], settings: PairSettings) -> Iterator[Outcome]:
    """An outcome for every candidate of the pages of documentation among documents (`COLUMNS`)."""
    for table in tables:
        pages = table.filter(begins_with(table.column("url"), SCHEME))
        for found in guarded("llm.pydocs.examples:make_examples", (settings,), [pages]):
            if isinstance(found, LostDocument):
                yield from _drop_lost(found, pages)
            else:
                yield from found


def make_examples(documents: pa.Table, settings: PairSettings) -> list[Outcome]:
    """Of documents (`COLUMNS`), in order; none of those that are no page of documentation."""
    outcomes: list[Outcome] = []
    for row in documents.select(COLUMNS).to_pylist():
        module = module_of(row["url"])
        if module is not None and row["text"]:
            outcomes += examples_of(Document(module=module, **row), settings)
    return outcomes


def _drop_lost(lost: LostDocument, pages: pa.Table) -> Iterator[Dropped]:
    """One candidate of either kind stands for all of a page that was given up."""
    (row,) = rows_with(pages, "doc_id", lost.doc_id).to_pylist()
    for kind in _KINDS:
        yield Dropped(
            kind,
            row["source"],
            row["split"],
            doc_id(row["source"], f"{kind}:{lost.reason}", lost.doc_id.encode()),
            True,
            lost.reason,
            None,
            None,
            f"{row['url']} ({lost.doc_id}): {lost.detail}",
        )
