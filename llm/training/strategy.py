"""What a way of spreading training over processes decides, apart from model and loop.

Each process has its own rows of a batch. Losses are sums divided by the tokens of the whole batch,
so gradients add up, however many processes there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum
from typing import Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from llm.model.transformer import Transformer
from llm.process.parent import Interrupted, StopRequest
from llm.training.devices import DoesNotFitError
from llm.training.distributed import Processes
from llm.training.muon import Orthogonaliser


class Outcome(IntEnum):
    """How work that all processes do together ended; of different ones the highest counts."""

    DONE = 0
    NO_MEMORY = 1
    STOPPED = 2


class LeftTogether(BaseException):
    """Work was left in the middle, by all processes alike. Not an `Exception`: no library takes
    it for a fault of its own."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


class Strategy(Protocol):
    """One way: what the trainer asks where processes differ.

    Attributes:
        processes: this one among its like.
        orthogonaliser: Muon's.
        name: as the run file says it.
    """

    name: str
    processes: Processes
    orthogonaliser: Orthogonaliser

    def wrap(self, model: Transformer) -> Transformer:
        """The model where it is trained, on the device, from one with its first weights."""
        ...

    def adopt(self, model: Transformer, optimisers: list[Optimizer]) -> list[Optimizer]:
        """What steps are made with, from the optimisers of the wrapped model; called once."""
        ...

    def dropping(self, stop: StopRequest) -> AbstractContextManager[None]:
        """Around work that changes nothing that is kept."""
        ...

    def check(self, stop: StopRequest) -> None:
        """Between pieces of such work; all processes come here equally often.

        Raises:
            Interrupted: this process was asked to stop.
            LeftTogether: all leave the work.
        """
        ...

    def backward(self, loss: Tensor, last: bool) -> None:
        """Add the gradients of a piece to those of the pieces before; `last` = of the batch."""
        ...

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make gradients the sums over all processes; called once a batch, also by a process
        whose work failed: the others wait for it."""
        ...

    def settle(self, model: Transformer, outcome: Outcome) -> Outcome:
        """How the work ended for all of them, given how it did for this one.

        Raises:
            DoesNotFitError: memory did not suffice, and the others do not come to hear of it.
        """
        ...

    def norms(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """(P,), on the device: the norm of the whole gradient of each parameter."""
        ...

    def clip(self, parameters: Sequence[nn.Parameter], largest: float, norm: Tensor) -> None:
        """Scale gradients so that their norm, which is `norm` (), is at most `largest`."""
        ...

    def clear(self, model: Transformer) -> None:
        """Forget gradients."""
        ...

    def recover(self, model: Transformer) -> None:
        """Be as before work that failed in a process.

        Raises:
            DoesNotFitError: that cannot be done.
        """
        ...

    def whole(self, model: Transformer) -> Transformer | None:
        """The model with all its weights, in the first process; all of them call it."""
        ...


@contextmanager
def measuring(strategy: Strategy, model: Transformer, stop: StopRequest) -> Iterator[None]:
    """Around pieces of work that change nothing, with `strategy.check` before each.

    Raises:
        Interrupted: this process, or another one, was asked to stop meanwhile.
    """
    outcome = Outcome.DONE
    try:
        with strategy.dropping(stop):
            yield
    except LeftTogether:
        raise Interrupted from None
    except Interrupted:
        outcome = Outcome.STOPPED
    if strategy.settle(model, outcome) is not Outcome.DONE:
        raise Interrupted


def irrecoverable() -> DoesNotFitError:
    """The error of processes that share out a model, when one of them cannot do its piece."""
    return DoesNotFitError(
        "a piece of the batch did not fit into memory, and processes that share out a model "
        "cannot leave a step; the next start resumes from the last checkpoint with pieces half "
        "as large"
    )
