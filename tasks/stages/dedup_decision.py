"""What `dedup` decides once all documents are signed: which go, and for which other one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.corpus.dedup.decide import Deduplicated, Search, deduplicate
from llm.corpus.dedup.lsh import Banding, choose_banding
from llm.corpus.dedup.near import Levels
from llm.corpus.dedup.signatures import align, gather, keep_order
from llm.corpus.split import SPLIT_JACCARD
from tasks.engine.errors import IngotError
from tasks.engine.store.artifact import Artifact, Data

# Another value of these makes other signatures, for which every text is read again.
_SIGNED_BY = ("num_perm", "shingle_words")


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
    config: Any, signatures: Data, documents: Data, attributes: Data | None, scratch: Path
) -> Decision:
    """Decide over all signed documents; the texts of those that may be alike are read."""
    removal = choose_banding(config.num_perm, config.threshold, config.recall)
    split = choose_banding(config.num_perm, SPLIT_JACCARD, config.split_recall)
    signed = gather(signatures.tables(), config.num_perm)
    keep: list[str] = list(config.keep)
    scores = None
    if attributes is not None:
        scores = align(signed, attributes.tables(["doc_id", "quality_score"]), "quality_score")
    elif "quality_score" in keep:
        keep.remove("quality_score")
    found = deduplicate(
        signed,
        keep_order(signed, keep, scores),
        Search(
            Levels(config.threshold, SPLIT_JACCARD),
            tuple(dict.fromkeys((removal, split))),
            config.bucket_cap,
            config.shingle_words,
        ),
        lambda: documents.tables(["doc_id", "text"]),
        scratch,
    )
    return Decision(found, keep, removal, split)


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
    made = decision(config, signatures, inputs["documents"], inputs.get("attributes"), scratch)
    return made.found.removed
