"""Several processes on one batch (data parallelism): plain sums over their gradients.

Each process has the whole model and its share of a batch's rows. Losses are sums divided by the
tokens of the whole batch, so gradients add up whatever the number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from llm.training.devices import DeviceError


@dataclass(frozen=True)
class Processes:
    """This process among its like: number `rank` of `count`."""

    rank: int
    count: int

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

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process."""
        if self.count == 1:
            return flag
        return bool(self.total(torch.tensor(float(flag), device=device)).item())

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all processes, in one flat buffer."""
        if self.count == 1:
            return
        gradients = []
        for parameter in parameters:
            if parameter.grad is None:  # fewer rows than processes: this one had none
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        flat = self.total(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier()


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
            raise DeviceError(f"process {place + 1} finds {have} GPUs; start one process per GPU")
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Processes(dist.get_rank(), count)


def leave(processes: Processes) -> None:
    """Take leave of the group."""
    if processes.count > 1:
        dist.destroy_process_group()
