"""The processes of a run: how they find each other, and what they tell each other."""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import HashStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from llm.errors import ExpectedError
from llm.process.parent import StoppedError
from llm.training.devices import DeviceError


class RendezvousError(ExpectedError, RuntimeError):
    """The processes of a run did not find each other."""


@dataclass(frozen=True)
class Processes:
    """This process among its like: number `rank` of `count`.

    Attributes:
        control: the group words are passed in, on the CPU while GPUs work; tensors go through
            another, so that no word is taken for a piece of a collective another process is in.
            `None` = alone.
    """

    rank: int
    count: int
    control: dist.ProcessGroup | None = None

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

    def highest(self, value: int, patience: float | None = None) -> int:
        """Of the values all processes give.

        Args:
            patience: seconds to wait for the others; `None` = as long as PyTorch does.

        Raises:
            RuntimeError: one of them is gone, or did not come.
        """
        if self.count == 1:
            return value
        values = torch.tensor(value)
        work = dist.all_reduce(values, dist.ReduceOp.MAX, self.control, async_op=True)
        assert work is not None
        if patience is None:
            work.wait()
        else:
            work.wait(timedelta(seconds=patience))
        return int(values)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self.highest(int(flag)))

    def agree(self, value: str) -> str:
        """The value of the first process."""
        values = [value]
        if self.count > 1:
            dist.broadcast_object_list(values, group=self.control)
        return values[0]

    def gather(self, value: dict[str, str]) -> list[dict[str, str]]:
        """The values of all processes, in order of rank."""
        values = [value] * self.count
        if self.count > 1:
            dist.all_gather_object(values, value, group=self.control)
        return values

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier(self.control)


@contextlib.contextmanager
def group(device: torch.device, seconds: float, grouped: bool = False) -> Iterator[Processes]:
    """The processes torchrun started this one among; alone without it. They part at the end.

    Args:
        seconds: to wait for the others.
        grouped: make a group of one process too.

    Raises:
        DeviceError: there are more processes on this machine than GPUs.
        RendezvousError: another process did not come in time.
    """
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if count == 1 and not grouped:
        yield Processes(0, 1)
        return
    if device.type == "cuda":
        place, have = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if place >= have:
            raise DeviceError(f"process {place + 1} finds {have} GPUs; start one process per GPU")
        torch.cuda.set_device(place)
    store = HashStore() if count == 1 else _meeting_place(rank, count, seconds)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        yield Processes(rank, count, dist.new_group(backend="gloo"))
    except StoppedError:  # as the others do
        dist.destroy_process_group()
        raise
    except BaseException:
        # Others may be in the middle of a collective, and Python's exit would wait for them.
        if count > 1:
            atexit.register(os._exit, 1)
        raise
    dist.destroy_process_group()


def _meeting_place(rank: int, count: int, seconds: float) -> Store:
    """What all of them write to, once they are there."""
    store: Store
    try:
        store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=seconds)))
    except RuntimeError as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise RendezvousError(
            f"process {rank + 1} of {count} waited {seconds:g} s at {where} and not all came: "
            f"{str(error).splitlines()[0]}. Is one of them still starting, or was one not "
            "started? All need this address, and a port no firewall closes"
        ) from error
    return store


def nodes() -> int:
    """Machines that torchrun started processes of this run on."""
    everywhere = int(os.environ.get("WORLD_SIZE", "1"))
    return everywhere // int(os.environ.get("LOCAL_WORLD_SIZE", str(everywhere)))
