"""Weights and optimiser states in a file a process, each with the shares it holds.

Written by torch.distributed.checkpoint as safetensors: no pickle. Read by any number of processes,
since each file says where in a tensor its piece belongs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load as load_into
from torch.distributed.checkpoint.state_dict_saver import save as save_from
from torch.optim import Optimizer

_WEIGHTS = "weights"


def save(
    folder: Path,
    model: nn.Module,
    optimisers: list[Optimizer],
    group: dist.ProcessGroup | None,
) -> None:
    """Write this process's share; all of a group call it.

    Raises:
        OSError: no space, or no permission.
    """
    state = {f"{_WEIGHTS}/{name}": p.detach() for name, p in model.named_parameters()}
    for prefix, parameter, optimiser in _states_of(model, optimisers):
        for key, value in optimiser.state[parameter].items():
            state[f"{prefix}/{key}"] = value.reshape(1) if not value.ndim else value
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    save_from(state, storage_writer=writer, process_group=group, no_dist=group is None)


def load(folder: Path, model: nn.Module, optimisers: list[Optimizer]) -> None:
    """Put in place what this process is to hold; each reads for itself."""
    reader = HuggingFaceStorageReader(str(folder))
    stored = {
        name: found.size
        for name, found in reader.read_metadata().state_dict_metadata.items()
        if isinstance(found, TensorStorageMetadata)
    }
    state: dict[str, Any] = {
        f"{_WEIGHTS}/{name}": p.detach() for name, p in model.named_parameters()
    }
    moments: dict[int, dict[int, dict[str, Tensor]]] = {}
    for prefix, parameter, optimiser in _states_of(model, optimisers):
        held = moments.setdefault(id(optimiser), {}).setdefault(id(parameter), {})
        for name in stored:
            if name.rpartition("/")[0] != prefix:
                continue
            like = stored[name] == parameter.shape  # else it is a count
            held[name.rpartition("/")[2]] = state[name] = (
                torch.zeros_like(parameter.detach()) if like else torch.zeros(1)
            )
    with warnings.catch_warnings():  # that each reads for itself is meant
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        load_into(state, storage_reader=reader, no_dist=True)
    for optimiser in optimisers:
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        found = [moments[id(optimiser)][id(p)] for p in parameters]
        states = {
            place: {key: v if v.shape == p.shape else v.reshape(()) for key, v in held.items()}
            for place, (p, held) in enumerate(zip(parameters, found, strict=True))
        }
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": states, "param_groups": groups})


def _states_of(
    model: nn.Module, optimisers: list[Optimizer]
) -> Iterator[tuple[str, nn.Parameter, Optimizer]]:
    """Parameters of optimisers, with what the names of their states begin with."""
    names = {id(p): name for name, p in model.named_parameters()}
    for number, optimiser in enumerate(optimisers):
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                yield f"optimiser{number}/{names[id(parameter)]}", parameter, optimiser
