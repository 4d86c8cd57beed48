"""What stages ask of the machine they are about to run on, seen before any of them runs."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from llm.process.child import Child, ChildFailedError
from tasks.engine.config import StageConfig
from tasks.engine.errors import IngotError

_ANYWHERE = ("auto", "cpu")
_GPU_POOL = "gpu"


class MissingDeviceError(IngotError):
    """A stage asks for a device that this machine does not have; names the field and what to do."""


def require_devices(configs: Mapping[str, StageConfig], stages: Iterable[str]) -> None:
    """Make sure that the devices of stages that will or may run are there.

    A stage that has a `pool` runs on another machine, which is not asked.

    Raises:
        MissingDeviceError: some are not; names all there is.
    """
    found = []
    for stage in stages:
        config = configs[stage]
        device, processes = getattr(config, "device", "cpu"), getattr(config, "processes", 1)
        if config.pool or (device in _ANYWHERE and (processes == 1 or device == "cpu")):
            continue
        problem = _missing_device(device, processes)
        if problem:
            found.append(
                f"{stage}.device: {problem}; change it (--set {stage}.device=auto takes what is "
                f"there), or name a work pool whose machines have it in {stage}.pool"
            )
    if found:
        raise MissingDeviceError("\n".join(found))


def uses_gpu(config: StageConfig) -> bool:
    """Whether a stage would take a GPU: its config names one, or takes what is there.

    One with a `pool` runs elsewhere: `auto` takes a GPU there if the pool is named after it.
    """
    device = getattr(config, "device", "cpu")
    if device == "auto":
        return config.pool == _GPU_POOL if config.pool else not _missing_device("cuda", 1)
    return device == "cuda"


@functools.cache
def _missing_device(device: str, processes: int) -> str:
    """Why a device cannot be used here, as torch says it; in a process of its own, because what
    only plans or hands on work has no need of torch."""
    with Child(None) as child:
        try:
            child.call("llm.training.devices:require", device, processes)
        except ChildFailedError as error:
            if error.type_name != "DeviceError":
                raise
            return error.message
    return ""
