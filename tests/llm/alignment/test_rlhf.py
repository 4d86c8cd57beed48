"""Reinforcement learning of a tiny model: what rises, what binds it; again from a checkpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from llm.alignment import reward_model
from llm.alignment.checks import NoRowsError
from llm.alignment.methods.rlhf import KlLimitError
from llm.alignment.reward_model import RewardModel
from llm.alignment.rewards.weighted import NonFiniteRewardError
from llm.alignment.run_file import parse_run, run_digest
from llm.model.config_file import TokenizerMismatchError
from llm.model.folder import load
from llm.process.parent import StoppedError, StopRequest
from tests.llm.alignment.tiny_run import (
    Listener,
    instructions,
    metrics,
    model_folder,
    reward_part,
    run_record,
    run_to_the_end,
    table,
)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("given")
    return model_folder(folder), instructions(folder / "instructions.parquet")


trained = partial(run_to_the_end, "rlhf", batch_size=16)


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_what_is_rewarded_becomes_more_likely(
    tmp_path: Path, given: tuple[Path, Path], algorithm: str
) -> None:
    changes = {"batch_size": 32, "samples": 8, "epochs": 4, "schedule": "constant"}
    counts = trained(
        tmp_path, given, algorithm=algorithm, learning_rate=1e-2, beta=0.001, **changes
    )
    reward = metrics(tmp_path, "reward")
    assert len(reward) == counts["steps"]
    assert sum(reward[-4:]) > sum(reward[:4]) + 2.0
    kl = metrics(tmp_path, "kl")
    assert kl[0] == pytest.approx(0.0, abs=1e-5)  # policy and reference are one model
    assert kl[-1] > 0.1
    assert metrics(tmp_path, "rewards/pattern/mean") == reward  # the only part, of weight 1
    for name in ("entropy", "completions/mean_length", "completions/clipped_ratio"):
        assert len(metrics(tmp_path, name)) == counts["steps"]
    before, after = counts["validation_before"], counts["validation_after"]
    assert after["validation/reward"] > before["validation/reward"] + 0.5
    held_out = table(tmp_path, "held_out")
    assert len(held_out) == counts["held_out_prompts"] == 6
    mean = sum(row["reward_after"] for row in held_out) / len(held_out)
    assert after["validation/reward"] == pytest.approx(mean)
    steps = sorted({row["step"] for row in table(tmp_path, "samples")})
    assert steps == list(range(1, counts["steps"] + 1, 2))
    assert all(row["parts"][0]["value"] == row["reward"] for row in table(tmp_path, "samples"))


@pytest.mark.parametrize(("micro_batch_size", "whole_steps"), [(0, 9), (8, 8)])
def test_a_stopped_run_goes_on_as_if_undisturbed(
    tmp_path: Path, given: tuple[Path, Path], micro_batch_size: int, whole_steps: int
) -> None:
    # In the second epoch; of a step in pieces the first is done when it stops, and lost.
    changes = {"micro_batch_size": micro_batch_size, "samples_every": 1, "epochs": 2}
    trained(tmp_path / "whole", given, **changes)
    stop = StopRequest()
    with pytest.raises(StoppedError, match=f"step {whole_steps}, with"):
        trained(tmp_path / "cut", given, Listener(stop, 8), stop, **changes)
    listener = Listener()
    trained(tmp_path / "cut", given, listener, **changes)
    assert listener.began[0][1] == whole_steps
    one, two = (load_file(tmp_path / n / "out" / "model.safetensors") for n in ("whole", "cut"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    for name in ("samples", "held_out", "metrics"):
        assert table(tmp_path / "whole", name) == table(tmp_path / "cut", name)


def test_a_micro_batch_changes_no_more_than_rounding(
    tmp_path: Path, given: tuple[Path, Path]
) -> None:
    for micro in (0, 4):
        trained(tmp_path / str(micro), given, micro_batch_size=micro)
    one, two = (metrics(tmp_path / micro, "reward") for micro in ("0", "4"))
    assert one[:2] == two[:2]
    loss = [metrics(tmp_path / micro, "grad_norm")[0] for micro in ("0", "4")]
    assert loss[0] == pytest.approx(loss[1], rel=1e-3)


def test_no_more_prompts_than_asked_for(tmp_path: Path, given: tuple[Path, Path]) -> None:
    counts = trained(tmp_path, given, max_prompts=8, epochs=3)
    assert (counts["train_rows"], counts["steps"]) == (8, 6)


def test_the_way_from_the_starting_model_is_bounded(
    tmp_path: Path, given: tuple[Path, Path]
) -> None:
    with pytest.raises(
        KlLimitError, match=r"nats a token, mean of \d+ steps, and max_kl allows 0\.001\. Raise"
    ):
        trained(tmp_path, given, max_kl=0.001, learning_rate=1e-2)
    assert not (tmp_path / "out").exists()


def test_a_reward_model_is_part_of_what_a_run_is(tmp_path: Path, given: tuple[Path, Path]) -> None:
    folder = tmp_path / "reward"
    reward_model.save(RewardModel(load(given[0]), 1), folder, given[0])
    changes = {
        "rewards": [reward_part("model"), reward_part("length", weight=0.5, maximum=5)],
        "reward_model": str(folder),
    }
    record = run_record("rlhf", tmp_path, *given) | changes
    digest = run_digest(parse_run(record, "test"))
    trained(tmp_path, given, **changes)
    parts = [metrics(tmp_path, f"rewards/{name}/mean") for name in ("model", "length")]
    sums = [model + 0.5 * length for model, length in zip(*parts, strict=True)]
    assert metrics(tmp_path, "reward") == pytest.approx(sums, abs=1e-5)
    reward_model.save(RewardModel(load(given[0]), 2), folder, given[0])
    assert run_digest(parse_run(record, "test")) != digest
    text = (folder / "tokenizer.json").read_text() + " "
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(TokenizerMismatchError):
        trained(tmp_path, given, **changes)


def test_a_reward_that_is_nan(tmp_path: Path, given: tuple[Path, Path]) -> None:
    folder = tmp_path / "reward"
    broken = RewardModel(load(given[0]), 1)
    with torch.no_grad():
        broken.score.weight.fill_(float("nan"))
    reward_model.save(broken, folder, given[0])
    with pytest.raises(NonFiniteRewardError, match="the reward 'model' is nan for an answer to"):
        trained(tmp_path, given, rewards=[reward_part("model")], reward_model=str(folder))


def test_prompts_that_do_not_fit_or_do_not_do(tmp_path: Path, given: tuple[Path, Path]) -> None:
    with pytest.raises(NoRowsError, match=r"0 prompts .* a step takes 4 .*prompt_too_long"):
        trained(tmp_path, given, max_length=9)
    rows = pq.read_table(given[1])
    few = rows.filter(pc.equal(rows.column("split"), "train")).slice(0, 3)
    pq.write_table(few, tmp_path / "few.parquet")
    with pytest.raises(NoRowsError, match="3 prompts of split 'train' are left, and a step takes"):
        trained(tmp_path, (given[0], tmp_path / "few.parquet"))
