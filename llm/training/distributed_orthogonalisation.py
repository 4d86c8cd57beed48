"""Muon's matrices where every process holds some rows of each: one process orthogonalises a whole
matrix, another one the next, and each gets its rows back."""

from __future__ import annotations

from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from llm.training.muon import orthogonalise


def distributed_orthogonalise(matrices: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """What `muon.orthogonalise` makes of matrices of one shape, cut as they are.

    Args:
        matrices: DTensors, sharded by rows over the last dimension of their mesh.
    """
    sharded = cast("list[DTensor]", matrices)
    first = sharded[0]
    mesh, placements = first.device_mesh, first.placements
    group = mesh.get_group(mesh.ndim - 1)
    rank, count = dist.get_rank(group), dist.get_world_size(group)
    rows, columns = first.shape
    chunk = -(-rows // count)  # as torch.chunk and with it FSDP cut
    held = [min(chunk, max(0, rows - chunk * place)) for place in range(count)]
    owned = [len(matrices[place::count]) for place in range(count)]
    shards = [matrix.to_local().to(dtype) for matrix in sharded]
    mine = torch.cat([s.reshape(-1) for place in range(count) for s in shards[place::count]])
    sent = [number * held[rank] * columns for number in owned]
    received = [owned[rank] * number * columns for number in held]
    pieces = _exchange(mine, sent, received, group)
    back = mine.new_empty(0)
    if owned[rank]:
        whole = torch.cat([p.view(owned[rank], -1, columns) for p in pieces if p.numel()], dim=1)
        found = orthogonalise(whole, dtype)
        back = torch.cat([piece.reshape(-1) for piece in torch.split(found, held, dim=1)])
    updates: list[Tensor] = [first] * len(matrices)
    for place, piece in enumerate(_exchange(back, received, sent, group)):
        cut = piece.view(owned[place], held[rank], columns).unbind()
        updates[place::count] = [
            DTensor.from_local(
                local, mesh, placements, run_check=False, shape=first.shape, stride=first.stride()
            )
            for local in cut
        ]
    return updates


def _exchange(
    values: Tensor, sent: list[int], received: list[int], group: dist.ProcessGroup
) -> tuple[Tensor, ...]:
    """From each process what it sent to this one."""
    found = values.new_empty(sum(received))
    dist.all_to_all_single(found, values, received, sent, group=group)
    return torch.split(found, received)
