"""No near-duplicate straddles train and validation: looked for exhaustively, in real text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llm.corpus.dedup.shingles import shingles
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.recipe import validate_recipe
from tasks.registry import STAGES

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

THRESHOLD, WORDS = 0.8, 5
RECIPE: dict[str, Any] = {
    "name": "split",
    "source": {
        "sources": [{"name": "docs", "kind": "pydocs", "distributions": ["numpy", "networkx"]}]
    },
    "clean": {},
    # Half of everything on either side: the more pairs of documents the split runs between.
    "dedup": {"threshold": THRESHOLD, "shingle_words": WORDS, "validation_fraction": 0.5},
    "tokenizer": {"vocabulary_size": 1024, "sample_bytes": 500_000},
    "pack": {"sequence_length": 256},
}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Artifact]:
    store = Store(str(tmp_path_factory.mktemp("split") / "home"))
    recipe = validate_recipe(RECIPE, Path("split.yaml"))
    stages = chain(STAGES, recipe.configs)
    done = build(Planner(stages, recipe.configs, recipe.name, store, Selection()))
    return {name: built.artifact for name, built in done.items()}


def pairs_from(
    one: Mapping[str, set[bytes]], other: Mapping[str, set[bytes]], least: float
) -> list[tuple[float, str, str]]:
    """(Jaccard index, id, id) of every pair of `one` and `other` from `least` on, exactly."""
    holders: defaultdict[bytes, list[str]] = defaultdict(list)
    for name, found in other.items():
        for shingle in found:
            holders[shingle].append(name)
    pairs = []
    for name, found in one.items():
        shared = Counter(holder for shingle in found for holder in holders.get(shingle, ()))
        for holder, common in shared.items():
            jaccard = common / (len(found) + len(other[holder]) - common)
            if jaccard >= least:
                pairs.append((jaccard, name, holder))
    return sorted(pairs, reverse=True)


def test_no_near_duplicate_of_a_validation_document_is_trained_on(
    artifacts: Mapping[str, Artifact],
) -> None:
    rows = artifacts["dedup"].data("documents").table(["doc_id", "text"]).to_pylist()
    found = {row["doc_id"]: shingles(row["text"], WORDS) for row in rows}
    sides: dict[str, set[str]] = {"train": set(), "validation": set()}
    for row in artifacts["pack"].data("sequences").table(["split", "doc_ids"]).to_pylist():
        sides[row["split"]].update(row["doc_ids"])
    train, validation = sides["train"], sides["validation"]
    assert not train & validation
    assert train | validation == set(found)
    assert min(len(train), len(validation)) > 100
    learned = {name: found[name] for name in train}
    straddling = pairs_from({name: found[name] for name in validation}, learned, THRESHOLD)
    assert straddling == []


def test_the_search_finds_what_dedup_removed(artifacts: Mapping[str, Artifact]) -> None:
    before = artifacts["clean"].data("documents").table(["doc_id", "text"]).to_pylist()
    found = {row["doc_id"]: shingles(row["text"], WORDS) for row in before}
    near = [
        (row["doc_id"], row["detail"], row["value"])
        for row in artifacts["dedup"].data("removed").table().to_pylist()
        if row["reason"] == "near"
    ]
    assert near, "this text has near-duplicates"
    pairs = pairs_from({name: found[name] for name, _, _ in near}, found, THRESHOLD)
    exact = {(one, other): jaccard for jaccard, one, other in pairs}
    for name, kept, value in near:
        assert exact[name, kept] == pytest.approx(value)
