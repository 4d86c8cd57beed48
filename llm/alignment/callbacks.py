"""What happens between the steps of a trainer: progress, checkpoints, stopping, alarms."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from llm.alignment import checkpoints
from llm.alignment.reporter import Reporter
from llm.process.parent import StopRequest
from llm.training.divergence import NonFiniteLossError
from llm.training.threads import ThreadTuner

# Of every step's figures, those a user watches while it runs.
_SHOWN = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
    "accuracy": "accuracy",
    "margin": "margin",
    "reward": "reward",
    "kl": "kl",
}


class Steps(TrainerCallback):  # type: ignore[misc]
    """Reports every step, asks for checkpoints when it is time, and stops when asked to.

    A figure that is not finite ends the run before a checkpoint of it is written.
    """

    def __init__(
        self,
        reporter: Reporter,
        stop: StopRequest,
        seconds: float,
        digest: str,
        threads: ThreadTuner,
    ) -> None:
        self._channel, self._stop, self._threads = reporter, stop, threads
        self._began = time.monotonic()
        self._seconds, self._digest = seconds, digest
        self._saved = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._threads.enforce()
        self._channel.begin(state.max_steps, state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        figures = logs or {}
        for name in ("loss", "grad_norm"):
            if name in figures and not math.isfinite(figures[name]):
                raise NonFiniteLossError(
                    f"step {state.global_step}: {name} is {figures[name]}; training diverged. "
                    "Lower the learning rate, raise warmup_share or lower gradient_clip"
                )
        if "loss" in figures:
            shown = {label: figures[name] for name, label in _SHOWN.items() if name in figures}
            self._channel.step(state.global_step, **shown)

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._stop.requested:  # weights are those of the last whole step, which is what is saved
            control.should_save = control.should_training_stop = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._stop.hold()
        self._threads.done(1.0, time.monotonic() - self._began)
        due = time.monotonic() - self._saved >= self._seconds
        last = state.global_step >= state.max_steps
        if due or last or self._stop.requested:
            control.should_save = True
        if self._stop.requested:
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        checkpoints.seal(folder, self._digest, self._threads.found)
        self._saved = time.monotonic()
        self._stop.release()
