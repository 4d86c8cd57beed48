"""Where a run's figures go beside its table: TensorBoard's event files, Weights & Biases.

Both are extras. Neither is a reason for training to wait or to end: what they are told lies on the
disk, and W&B sends it from a process of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from llm.errors import ExpectedError
from llm.training.run_file import Run


class TrackerMissingError(ExpectedError, ImportError):
    """The package of a tracker that is asked for is not installed; names the extra."""


class TrackerError(ExpectedError, RuntimeError):
    """A tracker that is asked for cannot be used; its own message says why."""


class Tracker(Protocol):
    """Is told what the table of metrics is told."""

    def begin(self, step: int) -> None:
        """What comes next is of the steps after this one; what it was told of those is void."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of a step."""

    def close(self) -> None:
        """No more will come."""


class TensorBoard:
    """Event files that `tensorboard --logdir` shows.

    Args:
        folder: of this run alone.

    Raises:
        TrackerMissingError: the package is not there.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _missing("tensorboard", error) from error
        self._folder, self._kind = folder, SummaryWriter
        self._writer: Any = None

    def begin(self, step: int) -> None:
        self.close()
        self._writer = self._kind(str(self._folder), purge_step=step + 1, flush_secs=30)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        assert self._writer is not None
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class WeightsAndBiases:
    """A run of W&B. Steps are a figure of their own: after a rollback they come again.

    Args:
        name: of the run, and its id: the next start goes on with it.
        mode: "offline" or "online".
        folder: W&B makes its own in it, `wandb`.

    Raises:
        TrackerMissingError: the package is not there.
        TrackerError: W&B does not accept the run (no key, no such project).
    """

    def __init__(
        self, name: str, mode: str, project: str, folder: Path, config: Mapping[str, Any]
    ) -> None:
        try:
            import wandb
        except ImportError as error:
            raise _missing("wandb", error) from error
        folder.mkdir(parents=True, exist_ok=True)
        # Its console would take over standard output, which is for events.
        settings = wandb.Settings(console="off", silent=True)
        try:
            self._run = wandb.init(
                project=project,
                name=name,
                id=name,
                resume="allow",
                mode=mode,
                dir=str(folder),
                config=dict(config),
                settings=settings,
            )
        except wandb.Error as error:
            raise TrackerError(
                f"W&B: {error} Set WANDB_API_KEY, or pretrain.wandb=offline and `wandb sync` later"
            ) from error
        self._run.define_metric("*", step_metric="step")

    def begin(self, step: int) -> None:
        """Nothing is void: what comes later at a step is what W&B shows of it."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def close(self) -> None:
        self._run.finish()


def _missing(extra: str, error: ImportError) -> TrackerMissingError:
    return TrackerMissingError(
        f"pretrain.{extra} needs the package of that name, which is not installed ({error}); "
        f"install it with `pip install --constraint requirements.lock --editable '.[{extra}]'`"
    )


def open_trackers(run: Run) -> list[Tracker]:
    """Those the run asks for; the next start of it goes on with the same ones.

    Raises:
        TrackerMissingError, TrackerError: see above.
    """
    wanted, found = run.execution, list[Tracker]()
    if wanted.tensorboard:
        found.append(TensorBoard(Path(wanted.tensorboard) / _name(run)))
    if wanted.wandb != "off":
        config = {**asdict(run.architecture), **asdict(run.optimisation), "data_id": run.data_id}
        folder = Path(wanted.wandb_folder)
        found.append(
            WeightsAndBiases(_name(run), wanted.wandb, wanted.wandb_project, folder, config)
        )
    return found


def _name(run: Run) -> str:
    """When the run was first started: kept with its checkpoints."""
    path = Path(run.paths.scratch) / "tracked_as"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}-{secrets.token_hex(2)}")
    return path.read_text()
