"""Tasks asked of a model in training: the verdicts of an evaluation, and curves that resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from llm.evaluation.benchmarks import task_measures
from llm.evaluation.tasks.answers import answer
from llm.evaluation.tasks.held_out import HeldOutTasks
from llm.evaluation.tasks.subject import OwnModel
from llm.evaluation.training_tasks import write_items
from llm.model.folder import load
from llm.process.parent import StoppedError
from llm.tokens.chat import ChatEncoder
from llm.training.loop import train
from llm.training.run_file import Tasks
from llm.training.task_items import TASK_ITEMS, TaskItemsError, read
from llm.training.task_scores import TaskScores
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
from tests.llm.tokens.small_tokenizer import SIZE
from tests.llm.training.small_run import (
    ALONE,
    CPU,
    LENGTH,
    After,
    all_metrics,
    metrics,
    never,
    run_of,
    task_file,
    trained,
    weights,
)

PROSE = (
    "The {} stood at the river for a hundred years or more. Its wheel turned from the {} until the "
    "first hard frost. Nobody in the {} remembered who had built it there. They said that it had "
    "always been a part of the {}."
)
WORDS = ("mill", "thaw", "town", "valley", "bridge", "spring", "village", "county", "dam", "rain")


def documents(folder: Path) -> Path:
    rows = [
        {
            "doc_id": f"{number:02}",
            "split": "validation" if number % 4 else "train",
            "source": "test",
            "text": PROSE.format(*(WORDS[(number * step) % 10] for step in (1, 3, 7, 9))),
        }
        for number in range(40)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "documents.parquet")
    return folder / "documents.parquet"


def test_verdicts_are_those_of_an_evaluation(tmp_path: Path) -> None:
    path = documents(tmp_path)
    folder = model_folder(tmp_path / "model", tiny_model(256, 4))
    model = load(folder)
    target = tmp_path / "tasks.parquet"
    tokens, facts = write_items([str(path)], 250_000, 0, [], 25, folder, 256, target)
    assert {name: fact["chance"] for name, fact in facts.items()} == {
        "next_sentence": 0.25,
        "word_order": 0.5,
    }
    table = pq.read_table(target)
    pairs = zip(table["prompt"].to_pylist(), table["continuation"].to_pylist(), strict=True)
    assert tokens == sum(len(prompt) + len(rest) - 1 for prompt, rest in pairs)
    rows = pq.read_table(path).to_pylist()
    held = [row for row in rows if row["split"] == "validation"]
    asked = HeldOutTasks([r["doc_id"] for r in held], [r["text"] for r in held], 25, 0)
    subject = OwnModel(model, ChatEncoder(folder))
    wanted = {
        measure.metric: measure.value
        for task, items in asked.tasks
        for measure in task_measures(
            task.name, answer(subject, task, items, 512, lambda *_: None).answers
        )
    }
    scores = TaskScores(read(target, SIZE, 256), CPU, "fp32", never())
    assert scores(model, ALONE) == wanted
    assert scores.names == list(wanted)
    assert 0 < min(wanted.values()) <= max(wanted.values()) < 1
    # bfloat16 rounds, and no more.
    rounded = TaskScores(read(target, SIZE, 256), CPU, "bf16", never())(model, ALONE)
    assert all(abs(rounded[name] - wanted[name]) <= 0.25 for name in wanted)


def test_curves_of_a_run_that_was_stopped_are_those_of_one_that_was_not(tmp_path: Path) -> None:
    tasks = Tasks(5, str(task_file(tmp_path / "tasks.parquet")))
    whole = replace(run_of(tmp_path / "whole"), tasks=tasks)
    result = trained(whole)
    stopped = replace(run_of(tmp_path / "stopped"), tasks=tasks)
    with pytest.raises(StoppedError):
        train(stopped, After(7))
    trained(stopped)
    found = metrics(whole)
    assert {name: set(steps) for name, steps in found.items() if "/" in name} == {
        "next_line/acc": {5, 10, 12},
        "next_line/acc_norm": {5, 10, 12},
        "order/acc": {5, 10, 12},
    }
    assert metrics(stopped) == found
    assert weights(stopped) == weights(whole)
    # Measuring changes nothing of the training itself, and costs what it says.
    plain = run_of(tmp_path / "plain")
    without = trained(plain)
    assert weights(plain) == weights(whole)
    seconds = all_metrics(whole)["tasks_seconds"]
    assert sum(seconds.values()) == pytest.approx(result["task_seconds"], abs=2e-3)
    assert 0 < result["task_share"] < 1
    assert "task_share" not in without


def test_a_checkpoint_of_other_tasks_is_not_gone_on_from(tmp_path: Path) -> None:
    path = task_file(tmp_path / "tasks.parquet")
    run = replace(run_of(tmp_path / "run"), tasks=Tasks(5, str(path)))
    first = run.identity()
    assert replace(run, tasks=Tasks(6, str(path))).identity() != first
    pq.write_table(pq.read_table(path).slice(0, 50), path)
    assert run.identity() != first
    assert "tasks" not in replace(run, tasks=Tasks(0, "")).identity()


def test_compiled_blocks_stay_compiled(tmp_path: Path) -> None:
    """Other shapes than those of training are computed uncompiled, and change nothing after."""
    torch._dynamo.reset()
    model = tiny_model(LENGTH)
    scores = TaskScores(read(task_file(tmp_path / "t"), SIZE, LENGTH), CPU, "fp32", never())
    wanted = scores(model, ALONE)
    built: list[Any] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        built.append(graph)
        return graph.forward

    for layer in model.model.layers:
        layer.compile(backend=backend, dynamic=False)
    rows = torch.zeros(2, LENGTH, dtype=torch.int64)
    with torch.no_grad():
        first = model(rows)
        once = len(built)
        assert once > 0
        assert scores(model, ALONE) == wanted
        assert torch.equal(model(rows), first)
    assert len(built) == once


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": [SIZE]}, "next, 0: tokens outside the vocabulary .* another tokenizer"),
        ({"prompt": [1] * (LENGTH + 1)}, f"{LENGTH + 2} tokens do not fit the context of {LENGTH}"),
    ],
)
def test_items_of_another_run(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    row = {
        "task": "next",
        "kind": "multiple_choice",
        "item": "0",
        "prompt": [1],
        "continuation": [2],
        "characters": 3,
        "right": True,
        **changes,
    }
    path = tmp_path / "tasks.parquet"
    pq.write_table(pa.Table.from_pylist([row], schema=TASK_ITEMS), path)
    with pytest.raises(TaskItemsError, match=message):
        read(path, SIZE, LENGTH)
    path.write_bytes(b"nothing")
    with pytest.raises(TaskItemsError, match="no readable file of task items"):
        read(path, SIZE, LENGTH)
