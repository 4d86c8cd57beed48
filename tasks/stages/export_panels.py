"""What `export` shows: the figures of both comparisons, the model, the files."""

from __future__ import annotations

from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Cell, Panel, Table

_NOT_COMPARED = (
    "Not compared: llama.cpp is not installed here (the extra llamacpp). The files were written, "
    "nothing is known of how they run."
)
_COMPARED = (
    "llama.cpp on the file against our code on the folder. Without a limit it is measured and no "
    "more: bits per byte and agreement over {on}; logprob is the largest difference, over the "
    "largest logit."
)
_EVERY_TEXT = ("tokenizer", "chat_template")


def panels(artifact: Artifact) -> list[Panel]:
    """The figures of the comparisons, and the files."""
    facts = artifact.facts
    rows = artifact.data("parity").table().to_pylist()
    checks: list[list[Cell]] = [
        [row["check"], repr(row["text"]), row["difference"], row["limit"], row["passed"]]
        for row in rows
    ]
    note = (
        "logits: relative to the largest; otherwise positions that differ. Compared "
        "with plain transformers."
    )
    card: list[list[Cell]] = [[name, value] for name, value in facts["card"].items()]
    files: list[list[Cell]] = [[name, size] for name, size in facts["files"].items()]
    columns = ["check", "text", "difference", "limit", "passed"]
    return [
        Table("Parity with transformers", columns, checks, note),
        *_gguf(artifact),
        Table("Model", ["", "value"], card),
        Table("Files", ["file", "bytes"], files),
    ]


def _gguf(artifact: Artifact) -> list[Panel]:
    """The GGUF files and how they compare, where some were written."""
    facts = artifact.facts
    if "gguf_files" not in facts:
        return []
    files: list[list[Cell]] = [[name, size] for name, size in facts["gguf_files"].items()]
    shown: list[Panel] = [Table("GGUF files", ["file", "bytes"], files)]
    columns = ["type", "check", "measured on", "value", "limit", "passed"]
    if not facts["gguf_compared"]:
        return [*shown, Table("Parity with llama.cpp", columns, [], _NOT_COMPARED)]
    found: dict[tuple[str, str], list[float]] = {}
    rows: list[list[Cell]] = []
    for row in artifact.data("gguf_parity").table().to_pylist():
        if row["check"] in _EVERY_TEXT:  # as many as there are texts: their worst
            found.setdefault((row["type"], row["check"]), []).append(row["value"])
        else:
            text = repr(row["text"]) if row["check"] == "greedy" else row["text"]
            values = [row["value"], row["limit"], row["passed"]]
            rows.append([row["type"], row["check"], text, *values])
    for (kind, check), values in found.items():
        rows.append([kind, check, f"{len(values)} texts", max(values), 0.0, max(values) <= 0])
    rows.sort(key=lambda row: list(facts["gguf_types"]).index(row[0]))
    note = _COMPARED.format(on=facts["gguf_measured_on"])
    return [*shown, Table("Parity with llama.cpp", columns, rows, note)]
