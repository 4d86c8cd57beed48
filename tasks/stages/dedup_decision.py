"""What `dedup` decides once all documents are signed: which go, and for which other one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import unidata_version  # what a word is hangs on it

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from llm.corpus.dedup.decide import Deduplicated, Search, deduplicate
from llm.corpus.dedup.earlier import Earlier
from llm.corpus.dedup.lsh import Banding, choose_banding
from llm.corpus.dedup.near import Levels
from llm.corpus.dedup.signatures import align, gather, keep_order
from llm.corpus.split import SPLIT_JACCARD
from tasks.engine.declare import HELD
from tasks.engine.errors import IngotError
from tasks.engine.store.artifact import Artifact, Data

# Another value of these makes other signatures, for which every text is read again.
_SIGNED_BY = ("num_perm", "shingle_words")
# Criteria of the keep order that are a column of an input.
_COLUMNS = {
    "quality_score": ("attributes", "quality_score"),
    "first_seen": ("pages", "fetched_at"),
}


class NotStoredError(IngotError):
    """What is asked is no function of what the stage has stored; says what is in the way."""


@dataclass(frozen=True)
class Decision:
    """What was found, and how it was looked for.

    Attributes:
        keep: the criteria of the keep order that could be used.
        removal, split: bandings of the two levels.
    """

    found: Deduplicated
    keep: list[str]
    removal: Banding
    split: Banding


def decision(
    config: Any,
    signatures: Data,
    inputs: Mapping[str, Data],
    scratch: Path,
    memory: Path | None = None,
) -> Decision:
    """Decide over all signed documents; the texts of those that may be alike are read.

    Args:
        memory: a folder in which searches remember what they compared.
    """
    removal = choose_banding(config.num_perm, config.threshold, config.recall)
    split = choose_banding(config.num_perm, SPLIT_JACCARD, config.split_recall)
    documents = inputs["documents"]
    rows = scratch / "signatures.bin"
    try:
        signed = gather(signatures.tables(), config.num_perm, rows)
        columns = {
            criterion: align(signed, inputs[name].tables(["doc_id", column]), column)
            for criterion, (name, column) in _COLUMNS.items()
            if criterion in config.keep and name in inputs
        }
        keep = [name for name in config.keep if name not in _COLUMNS or name in columns]
        earlier = inputs.get(HELD)
        found = deduplicate(
            signed,
            keep_order(signed, keep, columns),
            Search(
                Levels(config.threshold, SPLIT_JACCARD, config.containment),
                tuple(dict.fromkeys((removal, split))),
                config.bucket_cap,
                config.shingle_words,
            ),
            lambda: documents.tables(["doc_id", "text"]),
            scratch,
            memory / f"overlaps-{config.shingle_words}-{unidata_version}.bin" if memory else None,
            _earlier(config, signed.doc_ids, earlier) if earlier is not None else None,
        )
    finally:
        rows.unlink(missing_ok=True)
    return Decision(found, keep, removal, split)


def _earlier(config: Any, doc_ids: npt.NDArray[np.bytes_], decisions: Data) -> Earlier:
    """What was kept stays, unless documents are signed otherwise by now, or more is removed."""
    made = decisions.artifact.manifest.config if decisions.artifact else {}
    asked = config.identity()
    same = all(made.get(field) == asked.get(field) for field in _SIGNED_BY)
    stricter = config.threshold < made.get("threshold", 1.0) or (
        0 < config.containment < (made.get("containment") or math.inf)
    )
    return Earlier.of(doc_ids, decisions.tables(), same and not stricter)


def decide(config: Any, inputs: Mapping[str, Data], artifact: Artifact, scratch: Path) -> pa.Table:
    """What `dedup` would remove by another config, from the signatures it has stored.

    Raises:
        NotStoredError: by that config documents are signed otherwise.
    """
    for field in _SIGNED_BY:
        before = artifact.manifest.config[field]
        if getattr(config, field) != before:
            raise NotStoredError(
                f"dedup.{field}: the stored signatures were made with {before}; to know what "
                f"{getattr(config, field)} removes takes a run: `ingot run --from dedup --set "
                f"dedup.{field}={getattr(config, field)}`"
            )
    signatures = artifact.data("signatures")
    return decision(config, signatures, inputs, scratch).found.removed
