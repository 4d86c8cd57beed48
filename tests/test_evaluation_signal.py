"""The benchmark of verdicts: what it computes of known measures, and a small run of all of it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from scipy import stats

from benchmarks.signal_runs import recipe_of, variants
from benchmarks.verdicts import agreement, beyond_seeds, measure_row, pair_rows, verdicts
from tasks.recipe import validate_recipe
from tests.llm.tokens.small_tokenizer import library_texts
from tests.tasks.stand_in_evaluations import bits, right
from tests.test_kill_stages import write_rows

ROOT = Path(__file__).resolve().parents[1]


def test_a_verdict_agrees_where_the_long_runs_give_the_same() -> None:
    short = {"a": 0.0, "b": -0.2, "c": 0.2, "d": 0.001, "e": 0.4}
    # b is worse in the end, e as good as a; d, of which nothing was dared, is better by far.
    long = {"a": 0.0, "b": 0.2, "c": 0.1, "d": -0.6, "e": 0.0}
    sides = [
        verdicts(
            {
                name: {"bits_per_byte": bits(change, seed)}
                for seed, (name, change) in enumerate(each.items())
            },
            "bits_per_byte",
            resamples=1000,
        )
        for each in (short, long)
    ]
    rows = {row["name"]: row for row in pair_rows(*sides)}
    assert len(rows) == 10
    assert rows["b against a"]["short"]["verdict"] == "better"
    assert rows["b against a"]["long"]["verdict"] == "worse"
    assert {name: row["agrees"] for name, row in rows.items() if name.endswith(" a")} == {
        "b against a": False,
        "c against a": True,
        "d against a": None,
        "e against a": False,
    }
    dared = [row["agrees"] for row in rows.values() if row["agrees"] is not None]
    assert agreement(list(rows.values())) == pytest.approx(sum(dared) / len(dared))
    assert agreement([{"agrees": None}]) is None
    assert agreement([{"agrees": None}, {"agrees": True}, {"agrees": False}]) == 0.5


def test_how_far_a_measure_tells_recipes_apart() -> None:
    short = {
        name: {"bits_per_byte": bits(change, seed), "arc_easy": right(0.5)}
        for seed, (name, change) in enumerate({"a": 0.0, "b": -0.3, "c": 0.3}.items())
    }
    seeds = [{"bits_per_byte": bits(change, 1)} for change in (0.0, 0.01, -0.01)]
    row = measure_row("bits_per_byte", short, short, seeds)
    assert row["signal"] == pytest.approx(0.3, abs=0.02)
    assert row["seed_noise"] == pytest.approx(0.01)
    # Of 120 documents whose bits a byte scatter by .05; a pair has the noise of two.
    assert row["item_noise"] == pytest.approx(0.05 / 120**0.5, rel=0.35)
    assert row["signal_over_seed_noise"] == pytest.approx(row["signal"] / 0.01)
    assert (row["dared"], row["agreement"]) == (3, 1.0)
    flat = measure_row("arc_easy", short, short, [{"arc_easy": right(0.5)}])
    assert (flat["signal"], flat["seed_noise"]) == (0, None)
    assert (flat["dared"], flat["agreement"]) == (0, None)


def test_another_seed_could_turn_what_is_no_farther_apart_than_seeds_are() -> None:
    changes = {"a": 0.0, "b": 0.04, "c": 0.3}
    short = {
        name: {"bits_per_byte": bits(change, seed)}
        for seed, (name, change) in enumerate(changes.items())
    }
    found = verdicts(short, "bits_per_byte", resamples=1000)
    assert [each.verdict for each in found.values()] == ["worse"] * 3
    seeds = [{"bits_per_byte": bits(change, 1)} for change in (0.0, 0.01, -0.01)]
    sure = beyond_seeds(found, "bits_per_byte", seeds)
    assert [each.verdict for each in sure.values()] == ["no difference", "worse", "worse"]
    # Variances add up: of documents, and twice that of three seeds ± .01 (Welch's degrees).
    before, change = found["a", "b"].change, sure["a", "b"].change
    of_items = ((before.high - before.low) / 2 / stats.norm.ppf(0.975)) ** 2
    degrees = 2 * (1 + of_items / 0.0002) ** 2
    half = stats.t.ppf(0.975, degrees) * (of_items + 0.0002) ** 0.5
    assert change.high - change.value == pytest.approx(half, rel=1e-6)
    assert beyond_seeds(found, "bits_per_byte", seeds[:1]) == found


def test_seven_recipes_make_more_than_twenty_pairs(tmp_path: Path) -> None:
    tried = variants("science")
    assert (len(tried) + 1) * len(tried) // 2 >= 20
    found = validate_recipe(recipe_of([]), tmp_path / "signal.yaml")
    assert "quality" not in found.configs
    assert "science" in [spec.name for spec in found.configs["source"].sources]  # type: ignore[attr-defined]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_small_run_of_all_of_it_and_a_second_is_served(tmp_path: Path) -> None:
    parts = sorted({part for part in library_texts()[0].split("\n\n") if len(part) > 200})
    # Of one to ten parts each: a recipe of those above 200 words has some.
    draw = random.Random(0)
    texts = ["\n\n".join(draw.sample(parts, 1 + number % 10)) for number in range(160)]
    for number, name in enumerate(("a", "b")):
        write_rows(tmp_path, f"{name}.jsonl", texts[number::2])
    settings = [
        *("dedup.validation_fraction=0.3", "tokenizer.vocabulary_size=512"),
        *("pack.sequence_length=32", "pretrain.compile=false", "pretrain.batch_tokens=256"),
        *("evaluate.new_tokens=8", "evaluate.validation_bytes=20000", "evaluate.held_out_items=20"),
    ]
    command = [
        *(sys.executable, "-m", "benchmarks.evaluation_signal", "--folder", tmp_path / "runs"),
        *("--tokens", "2048", "--seeds", "2", "--workers", "2"),
        *("--data", tmp_path / "a.jsonl", tmp_path / "b.jsonl"),
        *(part for each in settings for part in ("--set", each)),
    ]
    records = []
    for _ in range(2):
        done = subprocess.run(
            [str(part) for part in command],
            cwd=ROOT,
            env=dict(os.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        records.append(json.loads(done.stdout.splitlines()[-1]))
    first, second = records
    assert second["rows"] == first["rows"]
    attempts = list((tmp_path / "runs" / "home" / "artifacts" / "pretrain").glob("*/0*"))
    assert len(attempts) == 15, "seven recipes at two lengths, and one more seed"
    pairs = [row for row in first["rows"] if " against " in row["name"]]
    assert len(pairs) == 21
    [bar] = first["bars"]
    dared = [row["agrees"] for row in pairs if row["agrees"] is not None]
    assert bar["name"] == "agreement"
    assert bar["value"] == (pytest.approx(sum(dared) / len(dared)) if dared else None)
    assert bar["holds"] is (bar["value"] is not None and bar["value"] >= 0.9)
