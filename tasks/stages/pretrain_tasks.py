"""Tasks that `pretrain` measures its model on as it goes: which, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from llm.process.child import ChildFailedError
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.stage.out import Out
from tasks.engine.store.artifact import Inputs
from tasks.stages.chain_models import local_files
from tasks.stages.evaluate_tasks import task_records, task_snapshots
from tasks.stages.pretrain_data import Course, UntrainableError

TASKS = "pretrain.tasks"
# Those that a forward pass over the choices decides; the others have the model talk.
_KINDS = ("multiple_choice", "minimal_pairs")
# `evaluate`'s own choice, so that items are the first of those it asks.
_VALIDATION_BYTES, _SEED = 250_000, 0
_SECONDS = 3600.0  # far more than making the items takes
# Operations of a training step over those of a forward pass over the same tokens.
_STEP = 3


class TasksConfig(Protocol):
    """The fields of `PretrainConfig` that are read here."""

    @property
    def tasks_every(self) -> int: ...
    @property
    def task_items(self) -> int: ...
    @property
    def task_share(self) -> float: ...
    @property
    def tasks(self) -> Sequence[str]: ...


def pretrain_task_snapshots(config: TasksConfig) -> dict[str, Snapshot]:
    """The tasks of files as external inputs.

    Raises:
        ExternalInputError: a file is none, or of a kind that takes too long.
    """
    found = task_snapshots(config.tasks, TASKS)
    for record in task_records(found, TASKS):
        if record["kind"] not in _KINDS:
            raise ExternalInputError(
                f"{TASKS}: {record['name']} is of kind {record['kind']}; between steps there is "
                f"time for {' and '.join(_KINDS)} alone: name it in evaluate.tasks"
            )
    return found


def write_tasks(
    config: TasksConfig, inputs: Inputs, out: Out, course: Course, length: int, path: Path
) -> None:
    """Make the file of items that the trainer is given, and record what they are and cost.

    Raises:
        UntrainableError: there is nothing to ask, a record is no item, or it would cost more than
            allowed.
    """
    documents = local_files(inputs.get("documents"))
    try:
        tokens, tasks = out.alone(
            "llm.evaluation.training_tasks:write_items",
            documents,
            _VALIDATION_BYTES,
            _SEED,
            task_records(inputs.external, TASKS),
            config.task_items,
            inputs["tokenizer"].folder(),
            length,
            path,
            seconds=_SECONDS,
        )
    except ChildFailedError as error:
        raise UntrainableError(f"{TASKS}: {error.message}") from error
    if not tasks:
        raise UntrainableError(
            "pretrain.tasks_every: there is nothing to ask: no validation document has sentences "
            f"to make tasks of, and {TASKS} names none; raise dedup.validation_fraction, name "
            "some, or set tasks_every to 0"
        )
    measured = -(-course.steps // config.tasks_every)
    trained = course.steps * course.batch_rows * length * _STEP
    share = measured * tokens / trained
    if share > config.task_share:
        # At the end it is measured in any case.
        allowed = int(config.task_share * trained / tokens)
        way = f"set it to {-(-course.steps // allowed)}" if allowed else "set it to 0"
        raise UntrainableError(
            f"pretrain.tasks_every: {tokens:,} tokens every {config.tasks_every} steps are "
            f"{share:.1%} of what training computes, and pretrain.task_share allows "
            f"{config.task_share:.1%}; {way}, lower pretrain.task_items, or raise task_share"
        )
    names = ", ".join(f"{name} ({fact['items']} items)" for name, fact in tasks.items())
    out.log(f"{names} every {config.tasks_every} steps, {share:.1%} of what training computes")
    out.fact("tasks", {"share_of_operations": share, "tasks": tasks})
