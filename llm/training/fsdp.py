"""Each process holds a share of every weight, gradient and optimiser state (FSDP2).

A block's weights are gathered before it computes and let go of after it; its gradients are summed
and shared out as soon as they are there, for every piece of a batch: kept until the last one, they
would take as much memory as the whole model. Blocks are gathered in the precision matrices are
multiplied in; embedding, output matrix and all sums are float32.

Collectives stand in the middle of the computation, so no process may leave it alone: signals are
looked at between pieces, together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from llm.model.transformer import Transformer
from llm.process.parent import StopRequest
from llm.training import devices
from llm.training.distributed import Processes
from llm.training.distributed_orthogonalisation import distributed_orthogonalise
from llm.training.muon import Orthogonaliser
from llm.training.strategy import LeftTogether, Outcome, irrecoverable

_PATIENCE = 120.0  # seconds for the others to notice that memory did not suffice


class Fsdp:
    """See `Strategy`.

    Args:
        nodes: with several, weights are shared out within each and repeated on all (HSDP).
        precision: "bf16" or "fp32".
    """

    name = "fsdp"

    def __init__(
        self, device: torch.device, processes: Processes, nodes: int, precision: str
    ) -> None:
        self.processes = processes
        self._device, self._precision = device, precision
        self._mesh = _mesh(device, processes, nodes)
        self._root: FSDPModule | None = None
        self.orthogonaliser = Orthogonaliser(
            distributed_orthogonalise, self._mesh.size(self._mesh.ndim - 1)
        )

    def wrap(self, model: Transformer) -> Transformer:
        narrow = devices.dtype(self._precision)
        # What a block is given stays as it is: the residual stream and the rotary tables.
        blocks = MixedPrecisionPolicy(
            param_dtype=None if narrow == torch.float32 else narrow,
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,
        )
        rest = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
        for layer in model.model.layers:
            fully_shard(layer, mesh=self._mesh, mp_policy=blocks)
        self._root = fully_shard(model, mesh=self._mesh, mp_policy=rest)
        for module in model.modules():
            if isinstance(module, FSDPModule):  # sums, as everywhere, not means
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)
        register_fsdp_forward_method(model, "hidden")
        return model

    def adopt(self, model: Transformer, optimisers: list[Optimizer]) -> list[Optimizer]:
        return optimisers

    def dropping(self, stop: StopRequest) -> AbstractContextManager[None]:
        return nullcontext()

    def check(self, stop: StopRequest) -> None:
        mine = Outcome.STOPPED if stop.requested else Outcome.DONE
        agreed = Outcome(self.processes.highest(mine))
        if agreed is not Outcome.DONE:
            self._rest()
            raise LeftTogether(agreed)

    def backward(self, loss: Tensor, last: bool) -> None:
        assert self._root is not None
        self._root.set_requires_all_reduce(last)  # between nodes, where there are several
        loss.backward()  # type: ignore[no-untyped-call]

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """Done with every piece."""

    def settle(self, model: Transformer, outcome: Outcome) -> Outcome:
        if outcome is Outcome.NO_MEMORY:
            return self._settle_without_memory(model)
        agreed = Outcome(self.processes.highest(outcome))
        if agreed is Outcome.DONE:
            self._rest()
        return agreed

    def _settle_without_memory(self, model: Transformer) -> Outcome:
        """The others may be waiting for a piece of a collective that will not come."""
        try:
            agreed = Outcome(self.processes.highest(Outcome.NO_MEMORY, _PATIENCE))
        except RuntimeError as error:
            raise irrecoverable() from error
        if agreed is Outcome.STOPPED:
            self.recover(model)  # for the checkpoint
        return agreed

    def _rest(self) -> None:
        """Let go of embedding and output, which after a forward pass alone are still whole."""
        assert self._root is not None
        self._root.reshard()

    def norms(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        # Of shares that are not whole matrices, squares add up; all of them in one message.
        shares = torch.stack(torch._foreach_norm([_share(parameter) for parameter in parameters]))
        squares = shares.double().square()
        dist.all_reduce(squares, group=self._mesh.get_group(self._mesh.ndim - 1))
        return squares.sqrt().float()

    def clip(self, parameters: Sequence[nn.Parameter], largest: float, norm: Tensor) -> None:
        nn.utils.clip_grads_with_norm_(parameters, largest, norm)

    def clear(self, model: Transformer) -> None:
        model.zero_grad(set_to_none=True)

    def recover(self, model: Transformer) -> None:
        reset = getattr(self._root, "reset_iter_state", None)
        if reset is None:  # before PyTorch 2.13
            raise irrecoverable()
        self.clear(model)  # of what is gathered, where the reset forgets no gradients
        reset()
        self.clear(model)  # of the shares

    def whole(self, model: Transformer) -> Transformer | None:
        gathered = Transformer(model.architecture) if self.processes.first else None
        mine = dict(gathered.named_parameters()) if gathered is not None else {}
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                value = _gather(parameter.detach())
                if gathered is not None:
                    mine[name].copy_(value)
        return gathered


def _share(parameter: nn.Parameter) -> Tensor:
    """Of the gradient, what this process holds."""
    gradient = parameter.grad
    if gradient is None:  # it took no part
        return torch.zeros(1, device=parameter.device)
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient


def _gather(value: Tensor) -> Tensor:
    """All of a tensor, in every process."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def _mesh(device: torch.device, processes: Processes, nodes: int) -> DeviceMesh:
    if nodes == 1:
        return init_device_mesh(device.type, (processes.count,), mesh_dim_names=("shard",))
    shape = (nodes, processes.count // nodes)
    return init_device_mesh(device.type, shape, mesh_dim_names=("replicate", "shard"))
