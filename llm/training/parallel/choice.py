"""Which strategy a run takes."""

from __future__ import annotations

import torch

from llm.training.distributed import Processes
from llm.training.parallel.single import Single
from llm.training.parallel.strategy import Strategy
from llm.training.parallel.summed import Summed


def choose(device: torch.device, processes: Processes) -> Strategy:
    """One for this number of processes."""
    return Single(device, processes) if processes.count == 1 else Summed(device, processes)
