"""The tensors training goes on from: weights and optimiser states, each by a name of its own.

Weights have their names in the model; the state `exp_avg` of a weight in the second optimiser is
`optimiser1/<weight>/exp_avg`. Parameter groups are not kept: the run's settings say what they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from llm.errors import ExpectedError
from llm.training.tensor_files import TensorFiles

WEIGHTS, OPTIMISERS = "weights", "optimisers"


class StateError(ExpectedError, ValueError):
    """What was kept of a run does not fit this one; names the file or the tensor."""


class Keeper(Protocol):
    """Has a weight that does not lie where its parameter is: such a parameter has one, as its
    attribute `keeper`. All processes call it alike.

    Attributes:
        shape: of the whole weight.
    """

    shape: tuple[int, ...]

    def read(self) -> Tensor:
        """All of it; of use in the first process."""
        ...

    def write(self, value: Tensor) -> None:
        """Put a whole value in place, as much of it as this process holds."""
        ...


def _keeper(parameter: nn.Parameter) -> Keeper | None:
    return cast("Keeper | None", getattr(parameter, "keeper", None))


def weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names and values."""
    for name, parameter in model.named_parameters():
        keeper = _keeper(parameter)
        yield name, parameter if keeper is None else keeper.read()


def states(model: nn.Module, optimisers: list[Optimizer]) -> Iterator[tuple[str, Tensor]]:
    """Names and values of all that optimisers keep."""
    for prefix, parameter, optimiser in _parameters(model, optimisers):
        for key, value in optimiser.state[parameter].items():
            yield f"{prefix}/{key}", value


def restore(folder: Path, model: nn.Module, optimisers: list[Optimizer]) -> None:
    """Put weights and states in place, as much of them as this process holds.

    Raises:
        StateError: something is missing, or of another shape.
    """
    restore_weights(folder, model)
    restore_optimisers(folder, model, optimisers)


def restore_weights(folder: Path, model: nn.Module) -> None:
    """Put the weights alone in place.

    Raises:
        StateError: something is missing, of another shape, or not finite.
    """
    try:
        with TensorFiles(sorted(folder.glob(f"{WEIGHTS}*.safetensors"))) as files:
            _restore_weights(files, model)
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise StateError(f"{folder}: weights do not fit this model: {error}") from error


@torch.no_grad()
def place_weights(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Give a model these weights, by name; of a sharded one each process its share."""
    for name, parameter in model.named_parameters():
        keeper = _keeper(parameter)
        if keeper is None:
            parameter.copy_(_share(values[name], parameter))
        else:
            keeper.write(values[name].detach())


def _share(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, or what this process holds of one that is laid out as another is."""
    if not hasattr(like, "device_mesh"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    # Each process has all of it: nobody sends anything.
    whole = value.to(like.device)
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)


def restore_optimisers(folder: Path, model: nn.Module, optimisers: list[Optimizer]) -> None:
    """Put the states alone in place.

    Raises:
        StateError: something is missing, of another shape, or not finite.
    """
    try:
        with TensorFiles(sorted(folder.glob(f"{OPTIMISERS}*.safetensors"))) as files:
            _restore_states(files, model, optimisers)
        _require_whole(model, optimisers)
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise StateError(f"{folder}: optimiser states do not fit this run: {error}") from error


@torch.no_grad()
def _restore_weights(files: TensorFiles, model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        keeper = _keeper(parameter)
        shape = tuple(parameter.shape) if keeper is None else keeper.shape
        if files.shape(name) != shape:
            raise KeyError(f"{name} is {files.shape(name)}, not {shape}")
        if keeper is None:
            parameter.copy_(files.read_like(name, parameter))
        else:
            keeper.write(files.read(name))


def _restore_states(files: TensorFiles, model: nn.Module, optimisers: list[Optimizer]) -> None:
    by_prefix: dict[str, list[str]] = {}
    for name in files:
        by_prefix.setdefault(name.rpartition("/")[0], []).append(name)
    held: dict[nn.Parameter, dict[str, Tensor]] = {}
    for prefix, parameter, _ in _parameters(model, optimisers):
        held[parameter] = {}
        for name in by_prefix.pop(prefix, []):
            like = files.shape(name) == tuple(parameter.shape)  # else it is a count
            value = files.read_like(name, parameter) if like else files.read(name)
            held[parameter][name.rpartition("/")[2]] = value
    if by_prefix:
        raise KeyError(f"there is no {sorted(by_prefix)[0]} here")
    for optimiser in optimisers:
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        found = {place: held[p] for place, p in enumerate(parameters) if held[p]}
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": found, "param_groups": groups})


def _require_whole(model: nn.Module, optimisers: list[Optimizer]) -> None:
    if not any(optimiser.state for optimiser in optimisers):
        return  # no step was taken yet
    for prefix, parameter, optimiser in _parameters(model, optimisers):
        states = optimiser.state.get(parameter)
        if not states:
            raise KeyError(f"there is no {prefix} in it")
        for name, value in states.items():
            if isinstance(value, Tensor) and not bool(value.isfinite().all()):
                raise KeyError(f"{prefix}/{name} holds values that are not finite")


def _parameters(
    model: nn.Module, optimisers: list[Optimizer]
) -> Iterator[tuple[str, nn.Parameter, Optimizer]]:
    """Parameters of optimisers, with what the names of their states begin with."""
    names = {id(p): name for name, p in model.named_parameters()}
    for number, optimiser in enumerate(optimisers):
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                yield f"optimiser{number}/{names[id(parameter)]}", parameter, optimiser
