"""What a run of Kahneman-Tversky optimisation is told."""

from __future__ import annotations

from dataclasses import dataclass

from llm.alignment.run_file import CutRun


@dataclass(frozen=True)
class KtoRun(CutRun):
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024).

    Attributes:
        beta: strength of the tie to the starting model.
        desirable_weight, undesirable_weight: of the loss of an answer with a thumb up, or down.
        length_prompts: validation prompts on which the length of answers is followed; 0 = none.
        max_chosen_drop: nats a token that validation's answers with a thumb up may lose; 0 = any.
        max_length_growth: how many times as long answers may become; 0 = any.
    """

    beta: float
    desirable_weight: float
    undesirable_weight: float
    length_prompts: int
    max_chosen_drop: float
    max_length_growth: float


RUN = KtoRun
