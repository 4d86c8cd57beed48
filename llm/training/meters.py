"""What becomes of a step's figures: rows of metrics, progress, and what a tracker is told.

On a GPU the figures of a step are read when the next one is under way, so that it never waits for
the host; before a validation, a checkpoint and the end all are read.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from llm.process.events import Progress
from llm.training.distributed import Processes
from llm.training.figures import PendingFigures, StepFigures
from llm.training.memory import memory_in_use
from llm.training.peak_flops import peak_flops
from llm.training.run_file import Run
from llm.training.stability import Event, Stability
from llm.training.trackers import Tracker

Metric = tuple[int, str, float]
# Of a run's steps so many have the figures that change slowly: a table stays small.
_MARKS = 200
_SHOWN = 4  # figures of tasks beside a bar
# Names of metrics that a clock or the machine decides: two runs of one recipe differ in them.
MEASURED = frozenset(
    {"tokens_per_second", "mfu", "memory_bytes", "data_wait_seconds", "tasks_seconds"}
)
_EVENTS = ("skipped_loss", "skipped_gradient_norm", "rollback_to_step")


class Meters:
    """Reads figures, in the order of steps.

    Args:
        flops_per_token: of the model.
        metrics: (step, name, value) of the steps before.
        trackers: are told the same.
        behind: steps whose figures may wait; 0 = none.

    Attributes:
        rows: (step, name, value) so far.
        stability: has seen all that was read.
    """

    def __init__(
        self,
        run: Run,
        device: torch.device,
        processes: Processes,
        flops_per_token: float,
        stability: Stability,
        metrics: Sequence[Metric] = (),
        trackers: Sequence[Tracker] = (),
        behind: int | None = None,
    ) -> None:
        self.rows: list[Metric] = list(metrics)
        self.stability, self._trackers = stability, trackers
        self._device, self._processes = device, processes
        self._steps = run.optimisation.steps
        self._every = -(-self._steps // _MARKS)
        self._flops = flops_per_token
        peak = peak_flops(device, run.optimisation.precision)
        self._peak = peak and peak * processes.count
        # Elsewhere a step is done when its function returns.
        self._behind = int(device.type == "cuda") if behind is None else behind
        self._pending: deque[tuple[int, int, PendingFigures]] = deque()
        self._tokens = 0
        known = [value for _, name, value in metrics if name == "micro_batch_rows"]
        self._micro_batch_rows = int(known[-1]) if known else 0
        self._loss: float | None = None  # of the last step that was taken
        self._task_figures: dict[str, float] = {}
        self._restart_clock(0)

    def begin(self, done: int) -> None:
        """The first step to come is the one after `done`."""
        for tracker in self._trackers:
            tracker.begin(done)
        self._restart_clock(done)

    def _restart_clock(self, done: int) -> None:
        self._progress = Progress(self._steps, "step", done)
        self._began = time.monotonic()
        self._interval()

    def _interval(self) -> None:
        self._since, self._aside = time.monotonic(), 0.0
        self._interval_tokens, self._interval_steps, self._interval_data = 0, 0, 0.0

    def add(self, step: int, micro_batch_rows: int, figures: PendingFigures) -> None:
        """Take the figures of a step, counted from 1, and read those that have waited enough."""
        self._pending.append((step, micro_batch_rows, figures))
        self._read(self._behind)

    def flush(self) -> None:
        """Read all of them."""
        self._read(0)

    def _read(self, behind: int) -> None:
        while len(self._pending) > behind:
            step, rows, pending = self._pending.popleft()
            self._take(step, rows, pending.read())

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Around work that is no step: its time counts for no rate of steps."""
        self.flush()
        began = time.monotonic()
        yield
        self._aside += time.monotonic() - began

    def last_step_of(self, name: str) -> int:
        """The last step that has a metric of this name; 0 = none has."""
        return max((step for step, measured, _ in self.rows if measured == name), default=0)

    def measured(self, step: int, values: dict[str, float]) -> None:
        """What was measured after a step."""
        self.rows += [(step, name, value) for name, value in values.items()]
        for tracker in self._trackers:
            tracker.log(step, values)

    def measured_tasks(self, step: int, values: dict[str, float], seconds: float) -> None:
        """What was measured on tasks after a step, and how long that took."""
        self.measured(step, {**values, "tasks_seconds": seconds})
        self._task_figures = dict(list(values.items())[:_SHOWN])

    def _take(self, step: int, micro_batch_rows: int, figures: StepFigures) -> None:
        self._loss = self._loss if figures.skipped else figures.loss
        self.stability.see(step, figures)
        self._tokens += figures.tokens
        self._interval_tokens += figures.tokens
        self._interval_steps += 1
        self._interval_data += figures.data_seconds
        # A step that was not taken is in no curve: it may hold what no axis has room for.
        kind = "skipped_" if figures.skipped else ""
        values = {
            f"{kind}loss": figures.loss,
            f"{kind}gradient_norm": figures.gradient_norm,
            "learning_rate": figures.learning_rate,
        }
        if micro_batch_rows != self._micro_batch_rows:
            self._micro_batch_rows = micro_batch_rows
            values["micro_batch_rows"] = float(micro_batch_rows)
        if step % self._every == 0 or step == self._steps:
            values |= self._marks(figures)
        self.measured(step, values)

    def _marks(self, figures: StepFigures) -> dict[str, float]:
        """What is told of some steps only."""
        found = {
            f"gradient_norm_{name}": value
            for name, value in figures.group_norms.items()
            if math.isfinite(value)
        }
        found["skipped_steps"] = float(self.stability.skipped)
        found["memory_bytes"] = float(memory_in_use(self._device))
        found["data_wait_seconds"] = self._interval_data / self._interval_steps
        seconds = time.monotonic() - self._since - self._aside
        if seconds > 0:
            found["tokens_per_second"] = self._interval_tokens / seconds
            if self._peak:
                found["mfu"] = found["tokens_per_second"] * self._flops / self._peak
        self._interval()
        return found

    def rolled_back(self, to: int, event: Event) -> None:
        """What came after step `to` is to be done again; events stay."""
        self._pending.clear()
        self.rows = [row for row in self.rows if row[0] <= to or row[1] in _EVENTS]
        for tracker in self._trackers:
            tracker.begin(to)
        self.measured(event.step, {"rollback_to_step": float(to)})
        self._interval()

    def report(self, done: int, threads: int) -> None:
        """Tell the launcher how far the run is; of several processes the first one does."""
        if not self._processes.first:
            return
        figures = {} if self._loss is None else {"loss": self._loss}
        figures |= self._task_figures
        figures["tokens_per_second"] = self._tokens / (time.monotonic() - self._began)
        if self.stability.skipped:
            figures["skipped"] = self.stability.skipped
        self._progress.report(done, **figures, threads=threads)

    @property
    def seconds(self) -> float:
        """Since `begin`."""
        return time.monotonic() - self._began

    def facts(self) -> dict[str, Any]:
        """What the whole run was like, since `begin`."""
        seconds = self.seconds
        rate = self._tokens / seconds if seconds else None
        return {
            "seconds": round(seconds, 3),
            "tokens_per_second": rate and round(rate, 1),
            "teraflops_per_second": rate and round(rate * self._flops / 1e12, 4),
            "mfu": round(rate * self._flops / self._peak, 4) if rate and self._peak else None,
            "memory_bytes": memory_in_use(self._device),
            "skipped_steps": self.stability.skipped,
            "passed_over_steps": self.stability.passed_over,
            "rollbacks": self.stability.rollbacks,
            "learning_rate_share": self.stability.rate_share,
        }
