"""Documents to read: some that were kept, and some of every reason for which others were not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

from tasks.engine.store.artifact import Artifact, Data
from tasks.engine.store.manifest import File
from tasks.engine.store.part_files import read_part
from tasks.panels.panels import Cell, Sample, Samples

_LEFT_OUT = ("removed", "rejected")
_TALKS = ("messages", "prompt", "chosen", "rejected")
_TEXTS = ("text", "html", *_TALKS)
_FACTS = ("value", "threshold", "detail")
_REASONS = 40
_BYTES_A_CHARACTER = 4


@dataclass(frozen=True)
class SampleLimits:
    """How much is shown: samples a group, and characters a sample."""

    count: int
    characters: int


def kept_samples(artifacts: Mapping[str, Artifact], limits: SampleLimits) -> Samples | None:
    """Documents a split from the last stage that passes documents on, if there is one.

    Args:
        artifacts: by stage name, in the order of the chain.
    """
    stages = [name for name, made in artifacts.items() if "documents" in made.manifest.outputs]
    if not stages or not limits.count:
        return None
    stage = stages[-1]
    artifact = artifacts[stage]
    group = "split" if "split" in columns(artifact, "documents") else None
    chosen = _smallest(artifact, "documents", group, limits.count)
    texts = _texts([(artifact, "documents")], chosen, limits)
    items = [_sample(row[group] if group else "kept", row, texts) for row in chosen]
    note = f"After {stage}: those with the smallest doc_ids, which are hashes of the content."
    return Samples("Kept", items, note)


def left_out_samples(
    artifact: Artifact, artifacts: Mapping[str, Artifact], limits: SampleLimits
) -> list[Samples]:
    """Rows a reason of what a stage removed, and of what it rejected.

    Args:
        artifacts: by stage name; the texts are looked up in those this stage reads.
    """
    found = []
    parents = [
        (artifacts[record.stage], record.output)
        for record in artifact.manifest.parents.values()
        if record.stage in artifacts
    ]
    for output_name in _LEFT_OUT:
        if not limits.count or not {"doc_id", "reason"} <= set(columns(artifact, output_name)):
            continue
        chosen = _smallest(artifact, output_name, "reason", limits.count)
        if not chosen:
            continue
        reasons = list(dict.fromkeys(row["reason"] for row in chosen))
        chosen = [row for row in chosen if row["reason"] in reasons[:_REASONS]]
        texts = _texts(parents, chosen, limits)
        items = [_sample(row["reason"], row, texts) for row in chosen]
        left = len(reasons) - _REASONS
        note = f"{left} more reasons are not shown." if left > 0 else ""
        found.append(Samples(f"{artifact.stage}: {output_name}", items, note))
    return found


def columns(artifact: Artifact, output: str) -> list[str]:
    """Names of the columns of an output; none for a folder or an output it lacks."""
    record = artifact.manifest.outputs.get(output)
    return [column.split(":", 1)[0] for column in (record.columns if record else None) or []]


def _smallest(
    artifact: Artifact, output: str, group: str | None, count: int
) -> list[dict[str, Any]]:
    """The rows with the smallest doc_ids of every group, without their text."""
    wanted = ("doc_id", group, "url", *_FACTS)
    names = [name for name in columns(artifact, output) if name in wanted]
    best: dict[str, list[dict[str, Any]]] = {}
    for table in artifact.data(output).tables(names):
        ids = table.column("doc_id").to_pylist()
        places: dict[str, list[int]] = {}
        for place, name in enumerate(table.column(group).to_pylist() if group else [""] * len(ids)):
            places.setdefault(name, []).append(place)
        for name, own in places.items():
            first = table.take(nsmallest(count, own, key=ids.__getitem__))
            rows = best.get(name, []) + first.to_pylist()
            best[name] = nsmallest(count, rows, key=lambda row: row["doc_id"])
    return [row for name in sorted(best) for row in best[name]]


def _texts(
    outputs: Sequence[tuple[Artifact, str]], rows: Sequence[Mapping[str, Any]], limits: SampleLimits
) -> dict[str, tuple[str, str]]:
    """By doc_id, (URL, text) from the first output that has the row; one part in memory."""
    found: dict[str, tuple[str, str]] = {}
    ids = {row["doc_id"] for row in rows}
    for artifact, output in outputs:
        names = columns(artifact, output)
        if "doc_id" not in names or not set(_TEXTS) & set(names):
            continue
        data = artifact.data(output)
        for part in data.parts:
            waiting = ids - found.keys()
            if not waiting:
                return found
            known = [name for name in names if name in ("doc_id", "url", *_TEXTS)]
            for row in _with_ids(data, part, known, waiting):
                found[row["doc_id"]] = (row.get("url") or "", readable(row, limits.characters))
    return found


def _with_ids(data: Data, part: File, names: list[str], ids: set[str]) -> list[dict[str, Any]]:
    path = data.path(part)
    places = [
        place
        for place, doc_id in enumerate(read_part(path, ["doc_id"]).column("doc_id").to_pylist())
        if doc_id in ids
    ]
    return read_part(path, names).take(places).to_pylist() if places else []


def readable(row: Mapping[str, Any], characters: int) -> str:
    """The text of a row: its text, its page, or what is said in it; cut, with a sign of it."""
    if row.get("text") is not None:
        text = str(row["text"])
    elif row.get("html") is not None:
        text = bytes(row["html"])[: characters * _BYTES_A_CHARACTER + 1].decode("utf-8", "replace")
    else:
        turns = [(name, turn) for name in _TALKS for turn in row.get(name) or []]
        text = "\n\n".join(
            f"[{name if name != 'messages' else turn['role']}] {turn['content']}"
            for name, turn in turns
        )
    return text if len(text) <= characters else text[:characters] + " …"


def _sample(heading: str, row: Mapping[str, Any], texts: Mapping[str, tuple[str, str]]) -> Sample:
    url, text = texts.get(row["doc_id"], (row.get("url") or "", ""))
    facts: dict[str, Cell] = {"doc_id": row["doc_id"]}
    if url:
        facts["url"] = url
    facts |= {name: row[name] for name in _FACTS if row.get(name) is not None}
    return Sample(heading, text, facts)
