"""Two attempts side by side: what changed sides is counted, and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from flows.planning import planner_for
from llm.evaluation.score_tables import SCORES
from tasks import attempts_compared as attempts
from tasks.attempts_compared import KEPT
from tasks.engine.config import StageConfig
from tasks.engine.declare import Output
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage, registry
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.panels.markdown import markdown
from tasks.recipe import load
from tests.flows.pages import write_page, write_recipe


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


def dedup(site: Path, *topics: str, threshold: float) -> Artifact:
    """Built over pages that are alike but for their topic."""
    folder = site / "-".join(topics)
    for topic in topics:
        write_page(folder, f"{topic}.html", topic)
    store, file = Store(str(site / "home")), write_recipe(site / "rivers.yaml", folder)
    recipe = load(file, [f"dedup.threshold={threshold}"])
    return build(planner_for(recipe, file, store))["dedup"].artifact


def ids(artifact: Artifact, output: str) -> set[str]:
    return set(artifact.data(output).table().column("doc_id").to_pylist())


def test_documents_that_changed_sides_are_counted_and_shown(site: Path) -> None:
    strict = dedup(site, "Severn", "Tweed", "Thames", threshold=1.0)
    loose = dedup(site, "Severn", "Tweed", "Thames", threshold=0.5)
    gone = ids(strict, "documents") - ids(loose, "documents")
    assert gone, "pages alike but for a word are near-duplicates at 0.5"
    found = attempts.difference(strict, loose)
    (move,) = found.moves
    assert (move.before, move.after, move.count) == (KEPT, "removed: near", len(gone))
    assert {row["doc_id"] for row in move.samples} == gone
    assert all("A river rises" in row["text"] for row in move.samples)
    assert (found.arrived, found.left) == (0, 0)
    assert "config.threshold: 1.0 -> 0.5" in found.changes
    assert ("removed: near", 0, len(gone)) in found.counts
    (back,) = attempts.difference(loose, strict).moves
    assert (back.before, back.after, back.count) == ("removed: near", KEPT, len(gone))
    text = "\n".join(markdown(panel) for panel in attempts.panels(found))
    assert f"| {len(gone)} | kept | removed: near |" in text
    assert "A river rises" in text


def test_documents_that_only_one_was_given_are_told_apart(site: Path) -> None:
    two = dedup(site, "Severn", "Tweed", threshold=1.0)
    other = dedup(site, "Severn", "Wye", "Dee", threshold=1.0)
    found = attempts.difference(two, other)
    assert (found.arrived, found.left, found.moves) == (2, 1, ())


def test_an_attempt_differs_in_nothing_from_itself(site: Path) -> None:
    one = dedup(site, "Severn", "Tweed", "Thames", threshold=1.0)
    found = attempts.difference(one, one)
    assert (found.changes, found.arrived, found.left, found.moves) == ((), 0, 0, ())


def test_stages_of_two_kinds_have_no_documents_in_common(site: Path) -> None:
    store, file = Store(str(site / "home")), write_recipe(site / "rivers.yaml", site / "Severn")
    write_page(site / "Severn", "Severn.html", "Severn")
    done = build(planner_for(load(file), file, store))
    found = attempts.difference(done["clean"].artifact, done["dedup"].artifact)
    assert found.changes
    assert found.moves == ()


class ScoredConfig(StageConfig):
    """Scores that are written down: [model, metric, value, low, high] each, as JSON."""

    rows: str = "[]"


def _scored(config: ScoredConfig, inputs: Inputs, out: Out) -> None:
    rows = [(*row, 10) for row in json.loads(config.rows)]
    with out.table("scores") as scores:
        scores.write(pa.table([list(column) for column in zip(*rows, strict=True)], schema=SCORES))


SCORED = Stage(
    "evaluate", 1, "", ScoredConfig, {}, {"scores": Output("", SCORES)}, _scored, lambda _: []
)


def scored(home: Path, *rows: tuple[str, str, float, float | None, float | None]) -> Artifact:
    configs = {"evaluate": ScoredConfig(rows=json.dumps(rows))}
    stages, store = registry([SCORED]), Store(str(home))
    planner = Planner(chain(stages, configs), configs, "scored", store, Selection())
    return build(planner)["evaluate"].artifact


def test_scores_stand_side_by_side_with_their_intervals(tmp_path: Path) -> None:
    one = scored(tmp_path, ("base", "loss", 4.0, 3.5, 4.5), ("sft", "loss", 3.0, None, None))
    other = scored(tmp_path, ("base", "loss", 3.75, 3.25, 4.25), ("dpo", "loss", 2.0, 1.5, 2.5))
    found = attempts.difference(one, other)
    assert [(s.model, s.before, s.after) for s in found.scores] == [
        ("base", (4.0, 3.5, 4.5), (3.75, 3.25, 4.25)),
        ("sft", (3.0, None, None), None),
        ("dpo", None, (2.0, 1.5, 2.5)),
    ]
    assert found.scores[0].said() == "4 [3.5, 4.5] -> 3.75 [3.25, 4.25]"
    shown = markdown(attempts.panels(found)[-1])
    assert "-0.25" in shown
    assert attempts.difference(one, one).scores[0].said() == "4 [3.5, 4.5] -> 4 [3.5, 4.5]"
