"""Whole runs: they learn, and one that was interrupted ends as if it had not been."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from llm.model.config_file import ModelFolderError, TokenizerMismatchError
from llm.model.folder import load
from llm.process.parent import StoppedError
from llm.tokens.token_file import TokenFile
from llm.training.loop import train
from llm.training.run_file import Run
from llm.training.validation import Validation
from tests.llm.tokens.small_tokenizer import SIZE, small_tokenizer
from tests.llm.training.small_run import (
    ALONE,
    CPU,
    EXECUTION,
    LENGTH,
    OPTIMISATION,
    After,
    fresh,
    metrics,
    never,
    opened,
    run_of,
    sequences,
    trained,
    weights,
)

EVERY_STEP = ("loss", "gradient_norm", "learning_rate")
GROUPS = ("gradient_norm_embedding", "gradient_norm_matrix", "gradient_norm_vector")
MARKS = (*GROUPS, "skipped_steps", "micro_batch_rows")


def _unigram(tokens: TokenFile) -> float:
    """Nats a token of the best guess that looks at no context, on its own training text."""
    counts = np.bincount(tokens.train[:, 1:].ravel(), minlength=SIZE)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def test_it_learns_more_than_frequencies(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=50, batch_rows=16, optimiser="muon", validate_every=10)
    result = trained(run)
    told = metrics(run)
    assert told["loss"][1] == pytest.approx(math.log(SIZE), abs=0.2)
    last = np.mean([told["loss"][step] for step in range(46, 51)])
    assert last < _unigram(opened(tmp_path)) - 0.5
    assert told["validation_loss"][50] < told["validation_loss"][10]
    assert set(told) == {*EVERY_STEP, *MARKS, "validation_loss", "validation_bits_per_byte"}
    assert all(sorted(told[name]) == list(range(1, 51)) for name in EVERY_STEP)
    assert sorted(told["loss"]) == list(range(1, 51))
    assert set(told["validation_loss"]) == {10, 20, 30, 40, 50}
    assert result["steps"] == 50
    assert result["tokens"] == 50 * 16 * LENGTH
    assert result["epochs"] == pytest.approx(50 * 16 / len(opened(tmp_path).train))
    model = load(tmp_path / "model")
    assert result["parameters"] == sum(p.numel() for p in model.parameters())
    measure = Validation(opened(tmp_path), run.optimisation, tmp_path / "tokenizer", CPU, never())
    assert measure(model, 2, ALONE)["validation_loss"] == pytest.approx(
        told["validation_loss"][50], rel=1e-6
    )


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_interrupted_it_ends_as_if_undisturbed(
    tmp_path: Path, optimiser: str, precision: str
) -> None:
    settings: dict[str, Any] = {"optimiser": optimiser, "precision": precision}
    whole, cut = (run_of(tmp_path / name, **settings) for name in ("whole", "cut"))
    assert trained(whole)["resumed_from_step"] == 0
    for looks, step in ((3, 3), (4, 7)):
        with pytest.raises(StoppedError, match=f"after step {step} of 12"):
            train(cut, After(looks))
    assert not Path(cut.paths.model).exists()
    assert trained(cut)["resumed_from_step"] == 7
    assert weights(cut) == weights(whole)
    assert metrics(cut) == metrics(whole)


def test_a_checkpoint_of_other_settings_is_not_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train(run_of(tmp_path), After(4))
    assert trained(run_of(tmp_path, learning_rate=5e-3))["resumed_from_step"] == 0


def test_a_finished_run_s_last_checkpoint_is_enough(tmp_path: Path) -> None:
    """The model was not yet written when the machine went down."""
    run = run_of(tmp_path, replace(EXECUTION, checkpoint_seconds=0.0))
    trained(run)
    first, told = weights(run), metrics(run)
    (Path(run.paths.model) / "model.safetensors").unlink()
    assert trained(run)["resumed_from_step"] == OPTIMISATION.steps
    assert (weights(run), metrics(run)) == (first, told)


def test_seeds_decide(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    for run in runs:
        trained(run)
    assert weights(runs[0]) == weights(runs[1]) != weights(runs[2])


def _from(run: Run, start: Path) -> Run:
    return replace(run, paths=replace(run.paths, start=str(start)))


def test_going_on_from_a_model(tmp_path: Path) -> None:
    first = run_of(tmp_path / "first", steps=30)
    trained(first)
    second = _from(run_of(tmp_path / "second", steps=2), tmp_path / "first" / "model")
    trained(second)
    assert metrics(second)["loss"][1] < metrics(first)["loss"][1] - 1
    other = replace(second, architecture=replace(second.architecture, layers=3))
    with pytest.raises(ModelFolderError, match="layers 2 there, 3 here"):
        train(other, never())
    path = tmp_path / "second" / "tokenizer" / "tokenizer.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(TokenizerMismatchError):
        train(second, never())


def _by_hand(tokens: TokenFile, rows: int) -> tuple[float, float]:
    """Nats a token and bits per byte of the untrained model, position by position."""
    model, nll, predicted, size = fresh(), 0.0, 0, 0
    for row in range(rows):
        length = int(tokens.lengths["validation"][row])
        ids = torch.tensor(tokens.validation[row, :length].astype(np.int64))
        with torch.no_grad():
            logits = model(ids[None, :-1])[0]
        nll += F.cross_entropy(logits, ids[1:], reduction="sum").item()
        predicted += length - 1
        size += len(small_tokenizer().decode(ids[1:].tolist()).encode())
    return nll / predicted, nll / math.log(2) / size


@pytest.mark.parametrize("micro_batch_rows", [1, 2, 64])
def test_validation_is_that_of_the_text(tmp_path: Path, micro_batch_rows: int) -> None:
    tokens = opened(tmp_path)
    sequences(tmp_path / "sequences")
    rows = len(tokens.validation)
    assert tokens.lengths["validation"][rows - 1] < LENGTH + 1, "a padded row is meant to be in it"
    for wanted in (3, 1000):
        o = replace(OPTIMISATION, validation_rows=wanted)
        tokenizer = Path(run_of(tmp_path).paths.tokenizer)
        measured = Validation(tokens, o, tokenizer, CPU, never())(fresh(), micro_batch_rows, ALONE)
        loss, bits = _by_hand(tokens, min(wanted, rows))
        assert measured["validation_loss"] == pytest.approx(loss, rel=1e-5)
        assert measured["validation_bits_per_byte"] == pytest.approx(bits, rel=1e-5)


def test_without_validation_rows_nothing_is_measured(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=2, validation_rows=0)
    trained(run)
    assert set(metrics(run)) == {*EVERY_STEP, *MARKS}


def test_events_say_what_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(run_of(tmp_path, steps=4))
    heard = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event["event"] for event in heard} == {"log", "progress"}
    assert heard[-1]["done"] == heard[-1]["total"] == 4
    assert heard[-1]["loss"] > 0
    assert "on cpu, fp32, uncompiled; steps 1 to 4 of 8 x 32 tokens" in heard[0]["message"]


@pytest.mark.long
def test_compiled_and_interrupted_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    compiled = replace(EXECUTION, compile=True)
    whole, cut, plain = (
        run_of(tmp_path / name, compiled, precision="bf16") for name in ("whole", "cut", "plain")
    )
    assert trained(whole)["compiled"]
    with pytest.raises(StoppedError):
        train(cut, After(5))
    assert trained(cut)["resumed_from_step"] == 5
    assert weights(cut) == weights(whole)
    assert metrics(cut) == metrics(whole)
    trained(replace(plain, execution=EXECUTION))
    losses, uncompiled = metrics(whole)["loss"], metrics(plain)["loss"]
    assert losses == pytest.approx(uncompiled, rel=0.02)
