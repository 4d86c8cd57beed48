"""What variants are worth, on known items."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from llm.evaluation.measure import Measure
from tasks.comparison.contenders import contender
from tasks.experiments import worth
from tasks.experiments.definition import Experiment, Variant
from tasks.experiments.fixed_text import Text
from tasks.findings import worth_table
from tasks.findings.record import as_record
from tests.tasks.documents_stage import DEDUP, built_on, write_parts
from tests.tasks.stand_in_documents import document
from tests.tasks.stand_in_evaluations import bits, evaluated, right

SEEDS = (0, 1)


def experiment(*names: str, seeds: tuple[int, ...] = SEEDS) -> Experiment:
    variants = tuple(Variant(name, {}, ()) for name in ("base", *names))
    return Experiment("trial", "ground.yaml", "ground", seeds, variants)


def run(
    folder: Path, variant: str, seed: int, measures: Sequence[Measure], documents: int = 10
) -> worth.Run:
    done = evaluated(folder / f"{variant}{seed}", variant, {"base": measures}, pretrain=seed)
    row = {**document("https://a.example", "One text."), "split": "validation"}
    parts = write_parts(folder / "pages", [[row]])
    text = built_on(folder / "text", (DEDUP,), parts, {})["dedup"].artifact.data("documents")
    train = {"train": {"documents": documents, "tokens": documents * 100}}
    packed = cast("Any", SimpleNamespace(facts={"splits": train}))
    model = contender(variant, done["evaluate"])
    return worth.Run(variant, seed, model, Text(text, None), packed)


def test_means_over_seeds_and_what_lies_between_them(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, "base", 0, [bits(0.0, 1)]),
        run(tmp_path, "base", 1, [bits(0.1, 1)]),
        run(tmp_path, "better", 0, [bits(-0.29, 1)], 7),  # less by 0.29
        run(tmp_path, "better", 1, [bits(-0.21, 1)], 7),  # by 0.31
        run(tmp_path, "alike", 0, [bits(0.001, 5)]),
        run(tmp_path, "alike", 1, [bits(0.1, 6)]),
    ]
    found = worth.result(experiment("better", "alike"), runs, resamples=1000)
    base, better, alike = found.variants
    [gain] = better.gains
    assert gain.by_seed == pytest.approx((-0.29, -0.31))
    assert gain.between_seeds == pytest.approx(0.01 * 2**0.5)
    assert gain.difference.change.value == pytest.approx(-0.3)
    assert gain.difference.verdict == "better"
    assert better.bits_per_byte - base.bits_per_byte == pytest.approx(-0.3)
    assert alike.gains[0].difference.verdict == "no difference"
    # Holm, of two: the smaller counts twice.
    assert gain.difference.corrected_p == pytest.approx(2 * gain.difference.p)
    rows = worth_table.rows_of(found)
    assert [row["variant"] for row in rows] == ["base", "better", "alike"]
    assert (rows[1]["documents"], rows[1]["+/-"], rows[1]["+/- "]) == ("7", "-3", "-300")
    assert rows[1]["between seeds"] == "± 0.0141"
    assert worth_table.in_words(found) == "better is better (-0.3)"
    assert "and for other seeds" in worth_table.note(found)
    record = json.loads(json.dumps(as_record(found), allow_nan=False))
    assert record["variants"][1]["gains"][0]["by_seed"] == pytest.approx([-0.29, -0.31])


def test_tasks_are_verdicts_and_more_of_them_is_better(tmp_path: Path) -> None:
    runs = [
        run(tmp_path, name, seed, [bits(0.0, 1), right(share)])
        for name, shares in (("base", (0.5, 0.52)), ("other", (0.65, 0.67)))
        for seed, share in enumerate(shares)
    ]
    found = worth.result(experiment("other"), runs, resamples=1000)
    gains = {gain.difference.metric: gain for gain in found.variants[1].gains}
    assert gains["bits_per_byte"].difference.change.value == 0
    task = gains["arc_easy"]
    assert task.difference.change.value == pytest.approx(0.15)
    assert task.difference.verdict == "better"
    assert worth_table.task_rows(found)[0]["verdict"] == "better"
    assert "differs from the base by more" in worth_table.in_words(found)


def test_one_seed_and_the_same_model(tmp_path: Path) -> None:
    base = run(tmp_path, "base", 0, [bits(0.0, 1)])
    same = worth.Run("idle", 0, contender("idle", base.model.evaluation), base.text, base.packed)
    found = worth.result(experiment("idle", seeds=(0,)), [base, same], resamples=1000)
    assert found.variants[1].same
    [_, row] = worth_table.rows_of(found)
    assert row["verdict"] == "same model"
    assert "between seeds" not in row
    assert "say nothing of how much another seed" in worth_table.note(found)
