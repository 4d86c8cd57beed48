"""What a run of direct preference optimisation is told."""

from __future__ import annotations

from dataclasses import dataclass

from llm.alignment.run_file import CutRun


@dataclass(frozen=True)
class DpoRun(CutRun):
    """Direct preference optimisation (Rafailov et al. 2023).

    Attributes:
        beta: strength of the tie to the starting model.
        sft_weight: weight of the chosen answers' negative log-likelihood; 0 = without.
    """

    beta: float
    sft_weight: float


RUN = DpoRun
