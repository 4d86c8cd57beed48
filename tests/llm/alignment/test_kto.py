"""Tuning a tiny model on thumbs: the loss by hand, what moves, and again from a checkpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from llm.alignment.drift import AnswerLengthError
from llm.alignment.methods.kto import OneKindOfThumbError, mismatched, reward_figures
from llm.model.folder import load
from llm.model.scoring import completion_logprobs
from llm.process.parent import StoppedError, StopRequest
from llm.tables import THUMB_REWARDS
from tests.llm.alignment.tiny_run import (
    Listener,
    metrics,
    model_folder,
    quiet,
    run_to_the_end,
    table,
    thumbs,
)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("given")
    return model_folder(folder), thumbs(folder / "thumbs.parquet")


trained = partial(run_to_the_end, "kto")


def test_what_has_a_thumb_up_comes_to_be_rewarded(tmp_path: Path, given: tuple[Path, Path]) -> None:
    counts = trained(tmp_path, given, epochs=16, learning_rate=1e-3, batch_size=8)
    # Policy and reference are one model before the first update: 1 - sigmoid(0), and no divergence.
    assert metrics(tmp_path, "loss")[0] == pytest.approx(0.5, abs=1e-5)
    assert metrics(tmp_path, "kl")[0] == pytest.approx(0.0, abs=1e-4)
    assert max(metrics(tmp_path, "kl")) > 0
    worth = [row for row in table(tmp_path, "rewards") if row["split"] == "train"]
    up, down = ([r["reward"] for r in worth if r["desirable"] is side] for side in (True, False))
    assert min(np.mean(up), -np.mean(down)) > 0.5
    assert (counts["thumbs_up"], counts["thumbs_down"]) == (len(up), len(down))
    assert counts["used"] == len(table(tmp_path, "rewards")) == len(table(tmp_path, "examples"))
    for name in ("rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected"):
        assert metrics(tmp_path, name), name
    assert len(metrics(tmp_path, "validation/answer_tokens")) >= 4


def test_rewards_are_what_the_two_models_say(tmp_path: Path, given: tuple[Path, Path]) -> None:
    trained(tmp_path, given, beta=0.3)
    rows, worth = table(tmp_path, "examples"), table(tmp_path, "rewards")
    assert [row["doc_id"] for row in rows] == [row["doc_id"] for row in worth]
    prompts, answers = ([row[f"{n}_tokens"] for row in rows] for n in ("prompt", "answer"))
    found = {}
    for when, folder in (("before", given[0]), ("after", tmp_path / "out")):
        cpu = torch.device("cpu")
        found[when], _ = completion_logprobs(load(folder), prompts, answers, 300, cpu, quiet)
        np.testing.assert_allclose([row[f"logp_{when}"] for row in worth], found[when], rtol=1e-5)
    expected = 0.3 * (found["after"] - found["before"])
    np.testing.assert_allclose([row["reward"] for row in worth], expected, atol=1e-3)


def test_the_loss_is_that_of_the_paper(tmp_path: Path, given: tuple[Path, Path]) -> None:
    """Of the second step, one batch of all rows again, from the models' own log-probabilities."""
    rows = pq.read_table(given[1])
    train = rows.filter(pc.equal(rows.column("split"), "train"))
    pq.write_table(train, tmp_path / "train.parquet")
    weights = {"desirable_weight": 0.7, "undesirable_weight": 1.6}
    size = train.num_rows
    one, two = tmp_path / "one", tmp_path / "two"
    again: dict[str, Any] = {"batch_size": size, "schedule": "constant", "warmup_share": 0.0}
    again |= {"beta": 0.5, "learning_rate": 1e-3, "length_prompts": 0, **weights}
    trained(one, (given[0], tmp_path / "train.parquet"), **again)
    trained(two, (given[0], tmp_path / "train.parquet"), epochs=2, **again)
    examples = table(one, "examples")
    order = _order_of_batches(examples, size)
    prompts, answers = ([examples[at][f"{n}_tokens"] for at in order] for n in ("prompt", "answer"))
    places = mismatched([tuple(prompt) for prompt in prompts], size)
    others = [answers[p][: 96 - len(q)] for p, q in zip(places, prompts, strict=True)]
    gains = []
    for said in (answers, others):
        sums = [
            completion_logprobs(load(f), prompts, said, 300, torch.device("cpu"), quiet)[0]
            for f in (given[0], one / "out")
        ]
        gains.append(sums[1] - sums[0])
    divergence = max(0.0, float(gains[1].mean()))
    up = np.array([examples[at]["desirable"] for at in order])
    signed = np.where(up, gains[0] - divergence, divergence - gains[0])
    losses = np.where(up, 0.7, 1.6) * (1 - 1 / (1 + np.exp(-0.5 * signed)))
    assert metrics(two, "loss")[1] == pytest.approx(losses.mean(), rel=1e-3)
    assert metrics(two, "kl")[1] == pytest.approx(divergence, rel=1e-3, abs=1e-4)


def _order_of_batches(examples: list[dict[str, Any]], size: int) -> list[int]:
    from llm.alignment.sampling import LengthGrouped

    lengths = [len(row["prompt_tokens"]) + len(row["answer_tokens"]) for row in examples]
    return list(LengthGrouped(lengths, size, 0))


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
    for name in ("rewards", "metrics"):
        assert table(tmp_path / "whole", name) == table(tmp_path / "cut", name)


@pytest.mark.parametrize("up", [True, False])
def test_thumbs_of_one_kind_are_refused(tmp_path: Path, given: tuple[Path, Path], up: bool) -> None:
    rows = pq.read_table(given[1])
    kind = rows.filter(pc.equal(rows.column("desirable"), up))
    pq.write_table(kind, tmp_path / "rows.parquet")
    side = "up" if up else "down"
    with pytest.raises(OneKindOfThumbError, match=rf"split 'train' have a thumb {side}"):
        trained(tmp_path, (given[0], tmp_path / "rows.parquet"))
    assert not (tmp_path / "out").exists()


def test_what_weighs_too_much_is_told(tmp_path: Path, given: tuple[Path, Path]) -> None:
    listener = Listener()
    counts = trained(tmp_path, given, listener, desirable_weight=4.0, max_length_growth=0.0)
    up, down = counts["thumbs_up"], counts["thumbs_down"]
    (told,) = [message for message in listener.messages if "weigh" in message]
    assert told.startswith(f"{up} thumbs up and {down} down weigh {4 * up / down:.2f} to 1")
    assert f"from {down / up:.3g} to {4 / 3 * down / up:.3g}" in told
    with pytest.raises(AnswerLengthError, match=r"max_length_growth 0\.01 allows"):
        trained(tmp_path / "long", given, max_length_growth=0.01)


@pytest.mark.parametrize(
    ("prompts", "size", "places"),
    [
        ("abcd", 4, [3, 0, 1, 2]),
        # Neighbours that share a prompt are no strangers: further round.
        ("aabb", 4, [2, 3, 0, 1]),
        ("abcde", 2, [1, 0, 3, 2, 3]),
        ("aa", 2, [1, 0]),
        ("a", 4, [0]),
    ],
)
def test_answers_of_other_prompts(prompts: str, size: int, places: list[int]) -> None:
    assert mismatched(prompts, size) == places


def test_how_often_thumbs_up_are_above_thumbs_down() -> None:
    rows = [("a", True, 1.0), ("b", True, 0.0), ("c", False, 0.0), ("d", False, -2.0)]
    worth = pa.Table.from_pylist(
        [
            {
                "doc_id": name,
                "split": "validation",
                "desirable": up,
                "logp_before": 0.0,
                "logp_after": 0.0,
                "reward": reward,
                "tokens": 1,
            }
            for name, up, reward in rows
        ],
        schema=THUMB_REWARDS,
    )
    # Of four pairs three are right and one is a tie.
    assert reward_figures(worth)["validation/reward_auc"] == 3.5 / 4
    assert "validation/reward_auc" not in reward_figures(worth.slice(0, 2))
