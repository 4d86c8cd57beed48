"""How many rows at once fit into memory: estimated at first, measured by the first steps, kept.

The estimate is of what a block keeps for its backward pass; it need not be right. After each of
the first steps the memory that the step took tells how many rows there is room for, and the next
one takes as many. Steps are steps all the time: none is done for the sake of measuring. What was
found is kept by device, model and precision, and is where the next run begins. Where a step runs
out of memory after all, `Stepper` halves.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import psutil
import torch

from llm.training import devices
from llm.training.memory import free_bytes, peak_bytes, start_peak
from llm.training.memory_estimate import row_bytes
from llm.training.run_file import Run
from llm.training.step import Stepper

# Of the memory there is, what may be filled: allocators leave gaps.
_FILLED = 0.9
# Fewer rows more than that are not worth compiling for another shape.
_WORTH = 1.25
_STEPS_MEASURED = 3


def even(rows: int, share: int) -> int:
    """At most that many rows, so that `share` rows fall into pieces of one size, nearly."""
    pieces = -(-share // max(1, min(rows, share)))
    return -(-share // pieces)


class MicroBatch:
    """Finds and remembers the rows at once of a run whose config leaves them open.

    Args:
        cache: folder for what can be found out again; runs may share it.
        compiled: whether blocks are, which then keep less.
    """

    def __init__(
        self, run: Run, device: torch.device, stepper: Stepper, cache: Path, compiled: bool
    ) -> None:
        self._stepper, self._device = stepper, device
        self._processes = stepper.strategy.processes
        self._share = -(-run.optimisation.batch_rows // self._processes.count)
        self._file = cache / "micro_batches" / _key(run, device, self._processes.count, compiled)
        self._fixed = run.execution.micro_batch_rows
        self._left = 0  # steps that are measured
        if self._fixed:
            return
        # Nodes may have caches of their own; all measure, or none.
        known = -self._processes.highest(-self._known())
        if not known:
            self._left = _STEPS_MEASURED
            a, o, e = run.architecture, run.optimisation, run.execution
            needed = row_bytes(a, o.precision, e.activation_checkpointing)
            states = 0 if device.type == "cpu" else 12 * a.parameters  # gradients, moments
            known = int(_FILLED * (free_bytes(device) - states)) // needed
        self._set(known)

    @property
    def rows(self) -> int:
        """At once, as far as is known."""
        return self._stepper.micro_batch_rows

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around a step: the next one may take more rows."""
        rows = self._stepper.micro_batch_rows
        if not self._left or rows == self._share:
            yield
            self._left = 0 if self._stepper.micro_batch_rows < rows else self._left
            return
        before = start_peak(self._device)
        yield
        # Where memory did not suffice after all, what is measured is not to be believed. Processes
        # halve together.
        failed = self._stepper.micro_batch_rows < rows
        self._left = 0 if failed else self._left - 1
        if failed:
            return
        fits = rows
        if before is not None:
            taken = max(1, peak_bytes(self._device) - before)
            fits = int(_FILLED * free_bytes(self._device) * rows / taken)
        self._grow(fits)

    def _grow(self, fits: int) -> None:
        # All do the same pieces; who has the least room decides.
        fits = -self._processes.highest(-fits)
        rows = even(fits, self._share)
        if rows >= _WORTH * self._stepper.micro_batch_rows:
            self._stepper.micro_batch_rows = rows

    def _set(self, rows: int) -> None:
        self._stepper.micro_batch_rows = even(-self._processes.highest(-rows), self._share)

    def keep(self, failed: bool = False) -> None:
        """Remember what it is now, unless the config says what it is to be and that fits.

        Args:
            failed: a piece did not fit in this process, which may be the only one that knows.
        """
        rows = self._stepper.micro_batch_rows
        if not (self._processes.first or failed) or rows >= self._fixed > 0:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        aside = self._file.with_suffix(f".{os.getpid()}.tmp")
        aside.write_text(str(rows))
        aside.replace(self._file)

    def _known(self) -> int:
        """What an earlier run found to fit; 0 if there was none."""
        with suppress(OSError, ValueError):
            return max(0, int(self._file.read_text()))
        return 0


def _key(run: Run, device: torch.device, processes: int, compiled: bool) -> str:
    o, e = run.optimisation, run.execution
    on = (
        torch.cuda.get_device_properties(device)
        if device.type == "cuda"
        else (devices.cpu_model(), psutil.virtual_memory().total)
    )
    decides = [
        str(on),
        asdict(run.architecture),
        [o.batch_rows, o.optimiser, o.precision, o.document_mask],
        [e.parallel, e.activation_checkpointing, processes, compiled],
    ]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]
