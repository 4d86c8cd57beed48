"""Which strategy a run takes."""

from __future__ import annotations

import torch

from llm.errors import ExpectedError
from llm.training.ddp import Ddp
from llm.training.distributed import Processes, nodes
from llm.training.run_file import Parallel, Run
from llm.training.single_process import Single
from llm.training.strategy import Strategy

# Weight, gradient and AdamW's two means of a parameter, in float32; and the share of a GPU's
# memory they may take, so that activations have the rest.
_BYTES, _SHARE = 16, 0.6


class NotSingleError(ExpectedError, ValueError):
    """Several processes were started for a run that is to have one."""


def choose(run: Run, device: torch.device, processes: Processes) -> Strategy:
    """The one asked for; "auto" = several processes have the whole model each where it fits.

    Raises:
        NotSingleError: "single" was asked for, and there are others.
        DeepSpeedMissingError, ZeroNotPossibleError: see there.
    """
    parallel = run.execution.parallel
    if parallel == "auto":
        parallel = _fitting(run, device, processes)
    if parallel == "fsdp":
        from llm.training.fsdp import Fsdp  # takes a second to import

        return Fsdp(device, processes, nodes(), run.optimisation.precision)
    if processes.count == 1:
        return Single(device, processes)
    if parallel == "single":
        raise NotSingleError(
            f"parallel is single, and {processes.count} processes were started; set it to auto"
        )
    if parallel in ("zero2", "zero3"):
        from llm.training.deepspeed_zero import Zero

        o, stage = run.optimisation, 2 if parallel == "zero2" else 3
        compiled = run.execution.compile
        return Zero(device, processes, stage, o.optimiser, o.parametrisation, o.precision, compiled)
    return Ddp(device, processes)


def _fitting(run: Run, device: torch.device, processes: Processes) -> Parallel:
    if processes.count == 1:
        return "single"
    if device.type != "cuda":
        return "ddp"
    room = _SHARE * torch.cuda.get_device_properties(device).total_memory
    return "ddp" if _BYTES * run.architecture.parameters <= room else "fsdp"
