"""The texts of pages that are taken out, and those that training reads in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from llm.rows import rows_among
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact, Data
from tasks.engine.store.published import published
from tasks.engine.store.store import Store
from tasks.forget.holders import Held

DOCUMENTS, _PACK = "documents", "pack"
_MESSAGES = ("messages", "prompt", "chosen", "rejected", "answer")


@dataclass(frozen=True)
class Texts:
    """Rows that are trained on, an output's part at a time.

    Attributes:
        part: path of the part within the output.
        doc_ids, texts: string (rows,).
        urls: string (rows,); empty for examples.
    """

    stage: str
    output: str
    part: str
    doc_ids: pa.ChunkedArray
    urls: list[str | None]
    texts: pa.ChunkedArray


def in_force(store: Store, recipe: str, channel: str = channels.LATEST) -> dict[str, Artifact]:
    """What a channel of a recipe means, by stage, in the order of the chain."""
    from tasks.registry import STAGES  # not before: to know all stages takes half a second

    found = {stage: channels.resolve(store, recipe, stage, channel) for stage in STAGES}
    return {stage: artifact for stage, artifact in found.items() if artifact is not None}


def removed_texts(held: Held) -> dict[str, str]:
    """The text of each page by doc_id, as it last was before training: later stages cut what sites
    repeat and mask personal data. A page that never became a document has none."""
    missing = {page.doc_id for page in held.pages}
    found: dict[str, str] = {}
    # What is in force comes before what is not, a later stage before an earlier one.
    old = [holder for holder in held.holders if not holder.in_force]
    now = [holder for holder in held.holders if holder.in_force]
    for holder in reversed([*old, *now]):
        if DOCUMENTS not in holder.rows or not missing:
            continue
        data = holder.artifact.data(DOCUMENTS)
        if "text" not in _columns(holder.artifact, DOCUMENTS):
            continue
        for part in data.parts:
            rows = rows_among(data.part_table(part, ["doc_id"]), missing)
            if rows.num_rows:
                known = rows_among(data.part_table(part, ["doc_id", "text"]), missing)
                for doc_id, text in zip(
                    *(known.column(i).to_pylist() for i in (0, 1)), strict=True
                ):
                    found[doc_id] = text or ""
                    missing.discard(doc_id)
    return found


def trained_on(artifacts: Mapping[str, Artifact]) -> Iterator[Texts]:
    """Documents that are packed, and examples that models are tuned on.

    Args:
        artifacts: in force, by stage.
    """
    documents = trained_documents(artifacts)
    if documents is not None and documents.artifact is not None:
        yield from _of_documents(documents, documents.artifact.stage)
    for stage, artifact in artifacts.items():
        for output in artifact.manifest.outputs:
            columns = _columns(artifact, output)
            if "parent_doc_ids" in columns:
                yield from _of_examples(artifact.data(output), stage, output, columns)


def cleaned(artifacts: Mapping[str, Artifact]) -> Iterator[Texts]:
    """All documents, those that later stages leave out too."""
    first = next((one for one in artifacts.values() if _has_texts(one)), None)
    if first is not None:
        yield from _of_documents(first.data(DOCUMENTS), first.stage)


def trained_documents(artifacts: Mapping[str, Artifact]) -> Data | None:
    """The documents that `pack` read; without it the last there are."""
    if _PACK in artifacts:
        record = artifacts[_PACK].manifest.inputs[DOCUMENTS]
        store = artifacts[_PACK].store
        found = published(store, record.stage, record.build_id, record.attempt)
        if found is not None:
            return found.data(record.output)
    with_texts = [one for one in artifacts.values() if _has_texts(one)]
    return with_texts[-1].data(DOCUMENTS) if with_texts else None


def _has_texts(artifact: Artifact) -> bool:
    return {"doc_id", "url", "text"} <= set(_columns(artifact, DOCUMENTS))


def _columns(artifact: Artifact, output: str) -> list[str]:
    record = artifact.manifest.outputs.get(output)
    return [column.split(":", 1)[0] for column in (record.columns or [] if record else [])]


def _of_documents(data: Data, stage: str) -> Iterator[Texts]:
    for part in data.parts:
        table = data.part_table(part, ["doc_id", "url", "text"])
        ids, urls, texts = (table.column(place) for place in range(3))
        yield Texts(stage, DOCUMENTS, part.path, ids, urls.to_pylist(), texts)


def _of_examples(data: Data, stage: str, output: str, columns: list[str]) -> Iterator[Texts]:
    """Each example as one text, its turns a line each."""
    names = [name for name in _MESSAGES if name in columns]
    for part in data.parts:
        table = data.part_table(part, ["doc_id", *names])
        texts = [
            "\n".join(turn["content"] or "" for name in names for turn in row[name] or ())
            for row in table.select(names).to_pylist()
        ]
        ids, column = table.column("doc_id"), pa.chunked_array([texts], pa.string())
        yield Texts(stage, output, part.path, ids, [None] * len(texts), column)
