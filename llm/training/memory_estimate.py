"""What training needs in memory, before a step has been done: weights and what a row leaves."""

from __future__ import annotations

from dataclasses import dataclass

from llm.errors import ExpectedError
from llm.model.architecture import Architecture

_FLOAT = 4  # bytes: weights, gradients and moments are float32
_BYTES = {"bf16": 2, "fp32": 4}


class InsufficientMemoryError(ExpectedError, MemoryError):
    """The weights of a model, their gradients and the optimiser's states do not fit."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one process.

    Attributes:
        weights: parameters in float32.
        gradients: of all of them.
        moments: AdamW's two of a parameter, Muon's one of a matrix.
        row: what a sequence of a full context leaves for the backward pass.
    """

    weights: int
    gradients: int
    moments: int
    row: int

    @property
    def states(self) -> int:
        """What is there whatever the batch is."""
        return self.weights + self.gradients + self.moments

    @property
    def least(self) -> int:
        """With one row at a time."""
        return self.states + self.row


def estimate(
    a: Architecture, precision: str, optimiser: str, recomputation: str = "none", shares: int = 1
) -> Memory:
    """What a process needs.

    Args:
        precision: "bf16" or "fp32".
        shares: processes that have a share each of weights and states (FSDP).
    """
    matrices = a.parameters - a.vocabulary_size * a.hidden_size * (1 if a.tied else 2)
    moments = 2 * a.parameters - (matrices if optimiser == "muon" else 0)
    return Memory(
        weights=_FLOAT * a.parameters // shares,
        gradients=_FLOAT * a.parameters // shares,
        moments=_FLOAT * moments // shares,
        row=row_bytes(a, precision, recomputation),
    )


def row_bytes(a: Architecture, precision: str, recomputation: str) -> int:
    """Roughly what a row of a full context needs in a training step, over all blocks."""
    number = _BYTES[precision]
    queries, keys = a.heads * a.head_dim, 2 * a.key_value_heads * a.head_dim
    kept = {
        "full": a.hidden_size,
        "selective": 2 * a.hidden_size + 2 * queries + keys + 2 * a.intermediate_size,
        "none": 4 * a.hidden_size + 4 * queries + 3 * keys + 3 * a.intermediate_size,
    }[recomputation]
    # One block at a time is computed again; embedding, last norm and their gradients are float32.
    again = 4 * a.hidden_size + 4 * queries + 3 * a.intermediate_size
    return a.context * (number * (a.layers * kept + again) + 4 * 4 * a.hidden_size)


def require_fitting(
    a: Architecture, optimiser: str, shares: int, there: int, on_host: int = 0
) -> None:
    """Make sure that what a model needs whatever its batch is can be held.

    Args:
        shares: processes that have a share each.
        there: bytes of the device.
        on_host: processes that hold theirs in the memory of this one machine; 0 = each has a
            device of its own.

    Raises:
        InsufficientMemoryError: it cannot; says what would do.
    """
    needed = estimate(a, "bf16", optimiser, shares=shares).states * max(1, on_host)
    if needed <= there:
        return
    whole = estimate(a, "bf16", optimiser).states
    enough = -(-whole // max(1, there))
    way = (
        f", or a machine with {needed / 1e9:,.0f} GB"
        if on_host
        else f", or {enough:,} devices that share it (pretrain.parallel=fsdp, "
        f"pretrain.processes={enough})"
    )
    raise InsufficientMemoryError(
        f"{a.parameters / 1e6:,.0f} M parameters need {needed / 1e9:,.1f} GB for weights, "
        f"gradients and the optimiser's states, and there are {there / 1e9:,.1f} GB; take a "
        f"smaller model (`ingot size` shows what each needs){way}"
    )
