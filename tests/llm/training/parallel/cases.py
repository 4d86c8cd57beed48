"""Runs that several processes do together, one after another: `torchrun -m ... <folder>`.

`cases.json` in the folder holds a list of them: a run, and what befalls it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from llm.model import transformer
from llm.process.parent import StoppedError, StopRequest
from llm.process.run_file import from_record
from llm.training import fsdp, tensor_files
from llm.training.distributed import Processes, group
from llm.training.loop import train_among
from llm.training.run_file import Run
from llm.training.saver import CheckpointError
from tests.llm.training.small_run import CPU, After, Never, never
from tests.llm.training.spoiled import spoil

_attend = transformer.attend
_write = tensor_files.write


class AtLook(Never):
    """Found to be asked the n-th time that somebody looks, and from then on."""

    def __init__(self, number: int) -> None:
        self._left = number
        self._held = self._dropping = False

    @property  # type: ignore[override]
    def requested(self) -> bool:
        self._left -= 1
        return self._left <= 0


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    if "INGOT_TEST_LOCAL_WORLD_SIZE" in os.environ:  # torchrun sets the other itself
        os.environ["LOCAL_WORLD_SIZE"] = os.environ["INGOT_TEST_LOCAL_WORLD_SIZE"]
    if "INGOT_TEST_PATIENCE" in os.environ:
        fsdp._PATIENCE = float(os.environ["INGOT_TEST_PATIENCE"])
    with group(CPU, 60.0) as processes:
        for number, case in enumerate(json.loads((folder / "cases.json").read_text())):
            stop: StopRequest = After(case["stop_after"]) if case["stop_after"] else never()
            stop = AtLook(case["stop_at_look"]) if case["stop_at_look"] else stop
            transformer.attend = _short_of_memory(processes, **case["no_memory"])
            tensor_files.write = _short_of_disk(processes, **case["no_disk"])
            patch = pytest.MonkeyPatch()
            if processes.rank in case["spoiled_ranks"]:
                spoil(patch, lambda step, share: step in (4, 9) or (12 < step < 30 and share == 1))
            try:
                train_among(from_record(Run, case["run"], str(number)), stop, CPU, processes)
            except (StoppedError, CheckpointError) as ended:
                print(f"case {number}, process {processes.rank}: {ended}", file=sys.stderr)
            patch.undo()


def _short_of_memory(processes: Processes, ranks: list[int], call: int, backward: bool) -> Any:
    """Attention that says once, at this call, that memory does not suffice, in these processes."""
    if not ranks:
        return _attend  # compiled for each count of calls, the other would never be done
    calls = 0

    def attend(*arguments: Any) -> Tensor:
        nonlocal calls
        calls += 1
        found = _attend(*arguments)
        if calls == call and processes.rank in ranks:
            if not backward:
                _fail()
            found.register_hook(lambda gradient: _fail())
        return found

    return attend


def _short_of_disk(processes: Processes, rank: int, file: int) -> Any:
    """Writing where this process finds no room from this file on; -1 = all do."""
    files = 0

    def write(path: Path, pieces: Any) -> str:
        nonlocal files
        files += 1
        full = processes.rank == rank and files >= file
        return _write(Path("/dev/full") if full else path, pieces)

    return write


def _fail() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
