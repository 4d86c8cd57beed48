"""The benchmark of optimisers: what it computes of runs, and a small run of all of it."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from benchmarks import folding, optimizer
from benchmarks.combinations import choice_rows, grid_rows, muon_gain
from benchmarks.optimizer import bars
from benchmarks.rate_transfer import best_rate, transfer_rows
from benchmarks.short_runs import Outcome
from tests.llm.tokens.small_tokenizer import library_texts


def _bowl(lowest: float) -> dict[float, float]:
    """Losses around a rate, a parabola over its logarithm."""
    return {rate: 2 + math.log(rate / lowest) ** 2 for rate in (1e-3, 2e-3, 4e-3, 8e-3)}


def test_the_best_rate_lies_between_those_tried() -> None:
    for lowest in (2e-3, 2.5e-3, 3.9e-3):
        rate, inside = best_rate(_bowl(lowest))
        assert (rate, inside) == (pytest.approx(lowest), True)
    assert best_rate(_bowl(2e-2)) == (8e-3, False)
    assert best_rate(_bowl(1e-4)) == (1e-3, False)
    assert best_rate({**_bowl(3.9e-3), 8e-3: math.inf}) == (4e-3, True)


def _outcome(bits: float) -> Outcome:
    return Outcome(bits, 1000.0, 1.0)


def test_each_combination_has_its_best_rate() -> None:
    rows = grid_rows(
        {
            ("adamw", "standard", "wsd", 1e-3, 0): _outcome(2.0),
            ("adamw", "standard", "wsd", 1e-3, 1): _outcome(2.2),
            ("adamw", "standard", "wsd", 2e-3, 0): _outcome(1.9),
            ("adamw", "standard", "wsd", 2e-3, 1): _outcome(math.inf),
            ("muon", "zero", "cosine", 1e-3, 0): _outcome(1.8),
            ("muon", "zero", "cosine", 1e-3, 1): _outcome(1.98),
        }
    )
    muon, adamw = rows
    assert (muon["name"], muon["learning_rate"]) == ("muon zero cosine", 1e-3)
    assert (muon["bits_per_byte"], muon["spread"]) == (pytest.approx(1.89), pytest.approx(0.09))
    assert (adamw["learning_rate"], adamw["bits_per_byte"]) == (1e-3, pytest.approx(2.1))
    assert muon_gain(rows) == pytest.approx(0.1)


def test_a_choice_is_compared_seed_by_seed() -> None:
    plain, other = choice_rows(
        {
            ("plain", 0): _outcome(2.0),
            ("plain", 1): _outcome(2.4),
            ("untied", 0): _outcome(1.9),
            ("untied", 1): _outcome(2.32),
        }
    )
    assert (plain["spread"], plain["difference"]) == (pytest.approx(0.2), 0.0)
    assert (other["name"], other["bits_per_byte"]) == ("choice untied", pytest.approx(2.11))
    assert other["difference"] == pytest.approx(-0.09)
    assert other["difference_spread"] == pytest.approx(0.01)


def test_a_spread_of_rates_at_the_end_of_those_tried_holds_no_bar() -> None:
    for lowest, holds in ((2.5e-3, True), (2e-2, False)):
        outcomes = {
            ("adamw", "mup", width, rate, 0): _outcome(bits)
            for width, factor in ((64, 1.0), (128, 1.2))
            for rate, bits in _bowl(lowest * factor).items()
        }
        [row] = transfer_rows(outcomes)
        [bar] = bars([], [row])
        assert bar["name"] == "mup_transfer_spread"
        assert bar["value"] == pytest.approx(1.2 if holds else 1.0)
        assert (bar["holds"], row["inside"]) == (holds, holds)


def test_the_whole_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.jsonl"
    text.write_text("\n".join(json.dumps({"text": each}) for each in library_texts()))
    sizes = "--vocabulary 512 --length 32 --layers 1 --width 32 --steps 4 --seeds 2"
    transfer = "--widths 32 64 --rates 1e-3 1e-2 --transfer-steps 3 --validation-rows 8"
    command = f"optimizer.py --text {text} {sizes} {transfer} --workers 1"
    plot = ["--plot", str(tmp_path / "rates.svg")]
    monkeypatch.setattr(sys, "argv", [*command.split(), *plot])
    optimizer.main()
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    grid, choices, transfers = (record["rows"][a:b] for a, b in ((0, 12), (12, -2), (-2, None)))
    assert len({row["name"] for row in grid}) == 12
    assert all(1 < row["bits_per_byte"] < 9 and row["spread"] > 0 for row in grid)
    assert [row["name"] for row in choices] == [f"choice {name}" for name in optimizer.CHOICES]
    plain, *others = (row["difference"] for row in choices)
    assert plain == 0.0
    assert all(0 < abs(difference) < 1 for difference in others)
    muon = next(row for row in grid if row["name"] == "muon standard wsd")
    assert choices[0]["bits_per_byte"] == muon["bits_per_byte"]
    assert [row["name"] for row in transfers] == ["transfer muon standard", "transfer muon mup"]
    standard, mup = (row["bits_per_byte"] for row in transfers)
    assert mup["32"] == standard["32"]  # the base
    assert mup["64"] != standard["64"]
    assert {bar["name"] for bar in record["bars"]} == {"muon_gain", "mup_transfer_spread"}
    drawn = (tmp_path / "rates-transfer-muon-mup.svg").read_text()
    assert "width 64" in drawn


def test_folding_is_exact(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "folding.py --width 64 --layers 2 --seeds 2"
    monkeypatch.setattr(sys, "argv", command.split())
    folding.main()
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    classes = ("Qwen3ForCausalLM", "LlamaForCausalLM")
    assert [row["name"] for row in record["rows"]] == [
        f"{name}, {kind}" for name in classes for kind in ("tied", "untied")
    ]
    for row in record["rows"]:
        assert row["difference"] < 1e-5
        assert row["unfolded"] > 0.05
    assert record["bars"][0]["holds"] is True
