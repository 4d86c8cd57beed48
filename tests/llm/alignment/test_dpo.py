"""Preference tuning of a tiny model: the reference, what moves, and again from a checkpoint."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from llm.alignment.drift import AnswerLengthError, ChosenCollapseError, check_drift
from llm.model.folder import load
from llm.model.scoring import completion_logprobs
from llm.process.parent import StoppedError, StopRequest
from tests.llm.alignment.tiny_run import (
    Listener,
    metrics,
    model_folder,
    preferences,
    quiet,
    run_to_the_end,
    table,
)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("given")
    return model_folder(folder), preferences(folder / "preferences.parquet")


trained = partial(run_to_the_end, "dpo")


def test_train_pairs_come_to_be_preferred(tmp_path: Path, given: tuple[Path, Path]) -> None:
    # As long as every margin lies far above zero, whatever a CPU's rounding does to the steps.
    counts = trained(tmp_path, given, epochs=16, learning_rate=1e-3)
    loss = metrics(tmp_path, "loss")
    # Before the first update policy and reference are one model.
    assert loss[0] == pytest.approx(math.log(2), abs=1e-5)
    assert metrics(tmp_path, "rewards/margins")[0] == pytest.approx(0.0, abs=1e-4)
    assert loss[-1] < 0.5 * loss[0]
    pairs = table(tmp_path, "pairs")
    assert len(pairs) == counts["used"]
    train = [row["margin"] for row in pairs if row["split"] == "train"]
    assert np.mean(np.array(train) > 0) == 1.0
    held = [row for row in pairs if row["split"] == "validation"]
    after = counts["validation_after"]
    expected = float(np.mean([row["margin"] > 0 for row in held]))
    assert after["validation/reward_accuracy"] == expected


def test_pairs_hold_what_the_two_models_say(tmp_path: Path, given: tuple[Path, Path]) -> None:
    trained(tmp_path, given, beta=0.3)
    rows, pairs = table(tmp_path, "examples"), table(tmp_path, "pairs")
    assert [row["doc_id"] for row in rows] == [row["doc_id"] for row in pairs]
    prompts = [row["prompt_tokens"] for row in rows]
    found = {}
    for when, folder in (("before", given[0]), ("after", tmp_path / "out")):
        model = load(folder)
        for side in ("chosen", "rejected"):
            answers = [row[f"{side}_tokens"] for row in rows]
            name = f"{side}_logp_{when}"
            cpu = torch.device("cpu")
            found[name], _ = completion_logprobs(model, prompts, answers, 300, cpu, quiet)
            np.testing.assert_allclose([row[name] for row in pairs], found[name], rtol=1e-5)
    gain = found["chosen_logp_after"] - found["chosen_logp_before"]
    loss = found["rejected_logp_after"] - found["rejected_logp_before"]
    margins = [row["margin"] for row in pairs]
    np.testing.assert_allclose(margins, 0.3 * (gain - loss), atol=1e-3)


def test_the_sft_term_holds_chosen_answers_up(tmp_path: Path, given: tuple[Path, Path]) -> None:
    plain = trained(tmp_path / "plain", given, epochs=4, learning_rate=1e-3)
    held = trained(tmp_path / "held", given, epochs=4, learning_rate=1e-3, sft_weight=1.0)
    name = "validation/chosen_logprob"
    assert held["validation_after"][name] > plain["validation_after"][name]


def test_a_stopped_run_goes_on_as_if_undisturbed(tmp_path: Path, given: tuple[Path, Path]) -> None:
    trained(tmp_path / "whole", given, epochs=2)
    stop = StopRequest()
    with pytest.raises(StoppedError, match="step 3"):
        trained(tmp_path / "cut", given, Listener(stop, 2), stop, epochs=2)
    listener = Listener()
    trained(tmp_path / "cut", given, listener, epochs=2)
    assert listener.began[0][1] == 3
    assert listener.units == ["step", "answer"]  # the reference's scores were kept
    one, two = (load_file(tmp_path / n / "out" / "model.safetensors") for n in ("whole", "cut"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert table(tmp_path / "whole", "pairs") == table(tmp_path / "cut", "pairs")
    assert metrics(tmp_path / "whole", "loss") == metrics(tmp_path / "cut", "loss")


def test_a_stop_before_the_first_step(tmp_path: Path, given: tuple[Path, Path]) -> None:
    stop = StopRequest()
    stop.requested = True
    with pytest.raises(StoppedError):
        trained(tmp_path, given, stop=stop)
    assert not (tmp_path / "out").exists()


def test_without_validation_pairs(tmp_path: Path, given: tuple[Path, Path]) -> None:
    table = pq.read_table(given[1])
    pq.write_table(
        table.filter(pc.equal(table.column("split"), "train")), tmp_path / "train.parquet"
    )
    counts = trained(tmp_path, (given[0], tmp_path / "train.parquet"), precision="bf16")
    assert (counts["validation_before"], counts["validation_after"]) == ({}, {})
    assert metrics(tmp_path, "loss")[0] == pytest.approx(math.log(2), abs=1e-2)


@pytest.mark.parametrize("loss", ["ipo", "sigmoid_norm"])
def test_other_losses_widen_the_gap_as_well(
    tmp_path: Path, given: tuple[Path, Path], loss: str
) -> None:
    trained(tmp_path, given, loss=loss, epochs=4, beta=0.5)
    gained = [
        sum(
            sign
            * (pair[f"{name}_logp_after"] - pair[f"{name}_logp_before"])
            / len(row[f"{name}_tokens"])
            for name, sign in (("chosen", 1), ("rejected", -1))
        )
        for pair, row in zip(table(tmp_path, "pairs"), table(tmp_path, "examples"), strict=True)
        if pair["split"] == "train"
    ]
    assert np.mean(gained) > 0.1  # nats a token
    # Before the first step nothing is preferred: ipo's distance to 1 / (2 beta), log 2.
    first = {"ipo": 1.0, "sigmoid_norm": math.log(2)}[loss]
    assert metrics(tmp_path, "loss")[0] == pytest.approx(first, rel=1e-4)


def test_the_length_of_answers_is_followed(tmp_path: Path, given: tuple[Path, Path]) -> None:
    counts = trained(tmp_path, given, epochs=2)
    lengths = metrics(tmp_path, "validation/answer_tokens")
    assert 4 <= len(lengths) <= 6  # at the beginning, on the way, at the end
    assert lengths[0] == counts["validation_before"]["validation/answer_tokens"]
    assert lengths[-1] == counts["validation_after"]["validation/answer_tokens"]
    quiet_run = trained(tmp_path / "off", given, length_prompts=0)
    assert "validation/answer_tokens" not in quiet_run["validation_after"]


def test_drift_beyond_the_limits_ends_the_run(tmp_path: Path, given: tuple[Path, Path]) -> None:
    with pytest.raises(AnswerLengthError, match=r"max_length_growth 0\.01 allows"):
        trained(tmp_path, given, max_length_growth=0.01)
    assert not (tmp_path / "out").exists()
    chosen = "validation/chosen_logprob"
    with pytest.raises(ChosenCollapseError, match=r"fell from -1\.000 to -1\.500 nats a token"):
        check_drift({chosen: -1.0}, {chosen: -1.5}, 0.4, 0.0)
    check_drift({chosen: -1.0}, {chosen: -1.5}, 0.6, 0.0)
    name = "validation/answer_tokens"
    with pytest.raises(AnswerLengthError, match=r"grew from 10\.0 to 31\.0 tokens"):
        check_drift({name: 10.0}, {name: 31.0}, 0.0, 3.0)
    check_drift({name: 10.0}, {name: 30.0}, 0.0, 3.0)
    check_drift({name: 10.0}, {name: 31.0}, 0.0, 0.0)
