"""Text that all variants are measured on: nothing of it was trained on by any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm.corpus.split import split_of
from llm.evaluation.measure import Measure
from llm.tables import TRAIN, VALIDATION
from tasks.experiments.definition import ExperimentError
from tasks.experiments.fixed_text import Text, trained_on, without
from tasks.stages import dedup
from tests.tasks.documents_stage import CLEAN, built_on, write_parts
from tests.tasks.stand_in_documents import document

_FRACTION = 0.5


def prose(seed: int, words: int = 100) -> list[str]:
    draw = np.random.default_rng(seed)
    return [f"w{number}" for number in draw.integers(10_000, size=words)]


def pages() -> list[dict[str, Any]]:
    """Two near-duplicates, below the threshold of removal, and three documents like no other."""
    first, *others = (prose(seed) for seed in range(4))
    near = first[:88] + prose(9, 12)
    texts = [first, near, *others]
    found = [
        document(f"https://a.example/{place}", " ".join(text)) for place, text in enumerate(texts)
    ]
    # The first two in order of doc_id: the first names their group.
    return [*sorted(found[:2], key=lambda one: str(one["doc_id"])), *found[2:]]


def split_seed(documents: list[dict[str, Any]], *splits: str) -> int:
    """A seed with which documents on their own fall so."""
    ids = [str(one["doc_id"]) for one in documents]
    return next(
        seed
        for seed in range(10_000)
        if all(
            split_of(each, seed, _FRACTION) == wanted
            for each, wanted in zip(ids, splits, strict=True)
        )
    )


def deduplicated(folder: Path, documents: list[dict[str, Any]], seed: int) -> Text:
    config = dedup.DedupConfig(
        workers=1, split_seed=seed, validation_fraction=_FRACTION, keep=["doc_id"]
    )
    parts = write_parts(folder / "pages", [documents])
    done = built_on(folder / "home", (CLEAN, dedup.STAGE), parts, {"dedup": config})
    artifact = done["dedup"].artifact
    return Text(artifact.data("documents"), artifact.data("pairs"))


def test_what_has_changed_sides_is_left_out_with_its_near_duplicates(tmp_path: Path) -> None:
    documents = pages()
    first, near, held = (str(one["doc_id"]) for one in documents[:3])
    seed = split_seed(documents, VALIDATION, TRAIN, VALIDATION, VALIDATION, TRAIN)
    base = deduplicated(tmp_path / "base", documents, seed)
    splits = {row["doc_id"]: row["split"] for row in base.documents.table().to_pylist()}
    # A group of near-duplicates goes where its first document does.
    assert splits[first] == splits[near] == splits[held] == VALIDATION
    assert base.pairs is not None
    assert base.pairs.rows == 1
    # Without the first, the other is on its own, in training; so is what it resembles.
    without_first = deduplicated(tmp_path / "without", documents[1:], seed)
    assert trained_on(base, [base, without_first]) == {first, near}
    # A document that is removed is still measured on.
    without_held = deduplicated(tmp_path / "held", [*documents[:2], *documents[3:]], seed)
    assert trained_on(base, [base, without_held]) == set()


def test_a_split_that_is_the_other_way_round_leaves_nothing(tmp_path: Path) -> None:
    documents = pages()[1:]
    base = deduplicated(
        tmp_path / "base", documents, split_seed(documents, VALIDATION, TRAIN, TRAIN, TRAIN)
    )
    other = deduplicated(
        tmp_path / "other", documents, split_seed(documents, TRAIN, VALIDATION, TRAIN, TRAIN)
    )
    with pytest.raises(ExperimentError, match="nothing is left to measure on"):
        trained_on(base, [base, other])


def test_items_are_left_out_with_their_document() -> None:
    measure = Measure("m", ("a", "b:120", "b:1", "arc:3"), np.arange(4.0), np.ones(4))
    assert without(measure, {"b"}).ids == ("a", "arc:3")
    assert without(measure, {"b"}).numerators.tolist() == [0, 3]
    assert without(measure, {"c"}) is measure
    with pytest.raises(ExperimentError, match="every item is text that some variant"):
        without(measure, {"a", "b", "arc"})
