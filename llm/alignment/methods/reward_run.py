"""What a run of reward modelling is told."""

from __future__ import annotations

from dataclasses import dataclass

from llm.alignment.run_file import CutRun


@dataclass(frozen=True)
class RewardRun(CutRun):
    """Reward modelling on pairs of answers (Bradley and Terry 1952; Christiano et al. 2017).

    Attributes:
        center_weight: weight of the squared sum of a pair's two rewards, which draws their mean to
            zero (Eisenstein et al. 2023); 0 = without.
    """

    center_weight: float


RUN = RewardRun
