"""Muon: momentum, orthogonalised (Jordan et al. 2024), at the size of AdamW's updates.

What torch.optim.Muon does with `adjust_lr_fn="match_rms_adamw"`, in two ways better suited to
small machines: matrices of one shape go through Newton-Schulz as one batch, and in the precision
asked for. PyTorch's is always bfloat16, which a CPU without instructions for it emulates some
thirty times slower than float32.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

# The quintic whose slope at zero is steepest (Jordan et al. 2024): five rounds take singular
# values from 0.003 up to within 0.7 and 1.2.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5
_EPSILON = 1e-7
# A batch's elements: some three copies of them are alive at once.
_BATCH_ELEMENTS = 1 << 25


def orthogonalise(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest half-orthogonal matrices, roughly: singular values all close to 1.

    Args:
        matrices: (N, rows, columns).
        dtype: matrices are multiplied in; sums of a product are float32 in any case.

    Returns:
        (N, rows, columns) in `dtype`.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.to(dtype)
    if tall:
        x = x.mT
    # Singular values of at most 1. The norm is float32: in bfloat16 its rounding would show.
    x = x / x.float().norm(dim=(1, 2), keepdim=True).clamp(min=_EPSILON).to(dtype)
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x.mT if tall else x


def orthogonalise_all(matrices: list[Tensor], dtype: torch.dtype) -> Sequence[Tensor]:
    """The same, of matrices of one shape."""
    return orthogonalise(torch.stack(matrices), dtype).unbind()


class Orthogonaliser(NamedTuple):
    """Who orthogonalises.

    Attributes:
        function: `orthogonalise_all`, or what makes the same of matrices that are sharded.
        processes: that share this work.
    """

    function: Callable[[list[Tensor], torch.dtype], Sequence[Tensor]]
    processes: int


ALONE = Orthogonaliser(orthogonalise_all, 1)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; weight decay decoupled.

    An update has 0.2 sqrt(max(rows, columns)) times the size of an orthogonal matrix, which is
    about what AdamW's has (Liu et al. 2025): both take the same learning rate.

    Attributes:
        found_inf: as AdamW has it while a step is made that a GPU is to decide on: float32 (), not
            0 = weights and momentum stay what they are.

    Args:
        parameters: matrices, or groups of them with a `weight_decay` each.
        dtype: of Newton-Schulz.
        orthogonaliser: does the work.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float,
        dtype: torch.dtype,
        momentum: float = 0.95,
        orthogonaliser: Orthogonaliser = ALONE,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(parameters, defaults)
        self._dtype, self._orthogonaliser = dtype, orthogonaliser
        self.found_inf: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[tuple(parameter.shape)].append(parameter)
            for parameters in by_shape.values():
                shared = self._orthogonaliser.processes * _BATCH_ELEMENTS
                size = max(1, shared // parameters[0].numel())
                for start in range(0, len(parameters), size):
                    self._update(group, parameters[start : start + size])
        return loss

    def _update(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        """Of parameters of one shape."""
        rate, momentum = group["lr"], group["momentum"]
        directions = []
        for parameter in parameters:
            gradient, state = parameter.grad, self.state[parameter]
            assert gradient is not None
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(gradient)
            mean = state["momentum_buffer"]
            if self.found_inf is not None:  # towards itself it does not move
                gradient = torch.where(self.found_inf != 0, mean, gradient)
            mean.lerp_(gradient, 1 - momentum)
            directions.append(gradient.lerp(mean, momentum))
        updates = self._orthogonaliser.function(directions, self._dtype)
        size = 0.2 * max(parameters[0].shape) ** 0.5
        if self.found_inf is not None:
            taken = (self.found_inf == 0) * rate
            for parameter, update in zip(parameters, updates, strict=True):
                parameter.mul_(1 - taken * group["weight_decay"])
                parameter.addcmul_(update, taken, value=-size)
            return
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - rate * group["weight_decay"])
            parameter.add_(update, alpha=-rate * size)
