"""Fine-tuning a tiny model: what is learned, from which tokens, and again from a checkpoint."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from llm.model.config_file import TokenizerMismatchError
from llm.model.folder import load
from llm.model.scoring import summed_logprobs
from llm.process.parent import StoppedError, StopRequest
from llm.tokens.special_tokens import TURN_END
from llm.training.divergence import NonFiniteLossError
from tests.llm.alignment.tiny_run import (
    Listener,
    instructions,
    metrics,
    model_folder,
    quiet,
    run_to_the_end,
)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("given")
    return model_folder(folder), instructions(folder / "instructions.parquet")


trained = partial(run_to_the_end, "sft")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "out" / "model.safetensors")


def same(one: Path, two: Path) -> bool:
    first, second = weights(one), weights(two)
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_it_learns_the_answers(tmp_path: Path, given: tuple[Path, Path]) -> None:
    counts = trained(tmp_path, given, epochs=3)
    assert counts["steps"] == 3 * -(-counts["train_rows"] // 4)
    assert counts["validation_loss_after"] < counts["validation_loss_before"] - 0.5
    assert metrics(tmp_path, "validation/completion_loss") == [
        counts["validation_loss_before"],
        counts["validation_loss_after"],
    ]
    assert len(metrics(tmp_path, "loss")) == counts["steps"]
    # What is written is the trained model, and says by itself where an answer ends.
    rows = pq.read_table(tmp_path / "results" / "examples.parquet").to_pylist()
    held = [row for row in rows if row["split"] == "validation"]
    sums, tokens = summed_logprobs(
        load(tmp_path / "out"),
        [row["tokens"] for row in held],
        [np.array(row["supervised"]) for row in held],
        256,
        torch.device("cpu"),
        quiet,
    )
    assert -sums.sum() / tokens.sum() == pytest.approx(counts["validation_loss_after"], rel=1e-5)
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert config["eos_token"] == TURN_END


def test_the_loss_is_that_of_the_answers(tmp_path: Path, given: tuple[Path, Path]) -> None:
    """One step over all rows: its loss is the mean over supervised tokens, and no others."""
    counts = trained(tmp_path, given, batch_size=64)
    rows = pq.read_table(tmp_path / "results" / "examples.parquet").to_pylist()
    mine = [row for row in rows if row["split"] == "train"]
    sums, tokens = summed_logprobs(
        load(given[0]),
        [row["tokens"] for row in mine],
        [np.array(row["supervised"]) for row in mine],
        256,
        torch.device("cpu"),
        quiet,
    )
    assert counts["supervised_tokens"] == tokens.sum()
    assert metrics(tmp_path, "loss") == [pytest.approx(-sums.sum() / tokens.sum(), rel=1e-5)]


def test_packed_rows_do_not_see_each_other(tmp_path: Path, given: tuple[Path, Path]) -> None:
    counts = trained(tmp_path / "packed", given, batch_size=64, packing="bfd")
    trained(tmp_path / "plain", given, batch_size=64)
    assert counts["trainer_rows"] < counts["train_rows"]
    (packed,), (plain,) = (metrics(tmp_path / name, "loss") for name in ("packed", "plain"))
    assert packed == pytest.approx(plain, rel=1e-5)


def test_micro_batches_change_no_gradient(tmp_path: Path, given: tuple[Path, Path]) -> None:
    trained(tmp_path / "whole", given, batch_size=8)
    trained(tmp_path / "micro", given, batch_size=8, micro_batch_size=2)
    for name in ("loss", "grad_norm"):
        one, two = (metrics(tmp_path / folder, name) for folder in ("whole", "micro"))
        assert one == pytest.approx(two, rel=1e-4)


def test_a_stopped_run_goes_on_as_if_undisturbed(tmp_path: Path, given: tuple[Path, Path]) -> None:
    trained(tmp_path / "whole", given, epochs=2)
    trained(tmp_path / "again", given, epochs=2)
    assert same(tmp_path / "whole", tmp_path / "again")
    for at in (5, 10):  # within the first epoch, within the second
        stop = StopRequest()
        with pytest.raises(StoppedError, match=f"step {at}"):
            trained(tmp_path / "cut", given, Listener(stop, at - 1), stop, epochs=2)
    assert not (tmp_path / "cut" / "out").exists()
    # A kill in the middle of the next checkpoint leaves a folder without its marker.
    half = tmp_path / "cut" / "scratch" / "checkpoint-11"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    listener = Listener()
    trained(tmp_path / "cut", given, listener, epochs=2)
    assert listener.began[0][1] == 10
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert metrics(tmp_path / "cut", "loss") == metrics(tmp_path / "whole", "loss")
    # Killed after the last step, before the results: nothing is left to train.
    late = Listener()
    trained(tmp_path / "cut", given, late, epochs=2)
    assert late.steps == []
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_another_run_starts_anew(tmp_path: Path, given: tuple[Path, Path]) -> None:
    trained(tmp_path, given)
    listener = Listener()
    trained(tmp_path, given, listener, seed=1)
    assert listener.began[0][1] == 0


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path, given: tuple[Path, Path]) -> None:
    with pytest.raises(NonFiniteLossError, match="step"):
        trained(tmp_path, given, learning_rate=1e30, gradient_clip=1e30, warmup_share=0.0)
    assert not (tmp_path / "out").exists()


def test_a_model_with_another_tokenizer(tmp_path: Path, given: tuple[Path, Path]) -> None:
    model = model_folder(tmp_path)
    record = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(record | {"tokenizer_sha256": "0" * 64}))
    with pytest.raises(TokenizerMismatchError):
        trained(tmp_path, (model, given[1]))


def test_without_validation_rows(tmp_path: Path, given: tuple[Path, Path]) -> None:
    table = pq.read_table(given[1])
    pq.write_table(
        table.filter(pc.equal(table.column("split"), "train")), tmp_path / "train.parquet"
    )
    changes: dict[str, Any] = {"precision": "bf16", "epochs": 3}
    counts = trained(tmp_path, (given[0], tmp_path / "train.parquet"), **changes)
    assert (counts["validation_rows"], counts["validation_loss_after"]) == (0, None)
    assert metrics(tmp_path, "validation/completion_loss") == []
    loss = metrics(tmp_path, "loss")
    assert loss[-1] < loss[0]
