"""The processes of a run: how they find each other, and what they tell each other."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from llm.training.devices import DeviceError


@dataclass(frozen=True)
class Processes:
    """This process among its like: number `rank` of `count`."""

    rank: int
    count: int
    # Not the one tensors go through: a word passes on the CPU while GPUs work, and is never taken
    # for a piece of a collective that another process is still in.
    _control: dist.ProcessGroup | None = None

    @property
    def threads(self) -> int:
        """CPU threads this process is to use; 0 = free to choose. Beside others it waits for them
        in every step: its own rate says nothing, so it keeps what torchrun gave it."""
        return torch.get_num_threads() if self.count > 1 else 0

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Sum of a tensor over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def highest(self, value: int) -> int:
        """Of the values all processes give."""
        if self.count == 1:
            return value
        values = torch.tensor(value)
        dist.all_reduce(values, dist.ReduceOp.MAX, self._control)
        return int(values)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self.highest(int(flag)))

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier(self._control)


def join(device: torch.device) -> Processes:
    """Join the group torchrun started this process in; alone without one.

    Raises:
        DeviceError: there are more processes on this machine than GPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes(0, 1)
    if device.type == "cuda":
        place, have = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if place >= have:
            raise DeviceError(f"process {place + 1} finds {have} GPUs; start one process a GPU")
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(dist.get_rank(), count, dist.new_group(backend="gloo"))


def leave(processes: Processes) -> None:
    """Take leave of the group."""
    if processes.count > 1:
        dist.destroy_process_group()
