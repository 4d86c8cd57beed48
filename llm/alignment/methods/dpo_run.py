"""What a run of direct preference optimisation is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from llm.alignment.run_file import AdaptedRun

Loss = Literal["sigmoid", "ipo", "sigmoid_norm"]


@dataclass(frozen=True)
class DpoRun(AdaptedRun):
    """Direct preference optimisation (Rafailov et al. 2023).

    Attributes:
        beta: strength of the tie to the starting model.
        loss: of a pair: "sigmoid" as there; "ipo" is squared, towards a fixed gap (Azar et al.
            2023); "sigmoid_norm" as the first, of log-probabilities a token. TRL's names.
        sft_weight: weight of the chosen answers' negative log-likelihood; 0 = without.
        length_prompts: validation prompts on which the length of answers is followed; 0 = none.
        max_chosen_drop: nats a token that the chosen answers of validation may lose; 0 = any.
        max_length_growth: how many times as long answers may become; 0 = any.
    """

    beta: float
    loss: Loss
    sft_weight: float
    length_prompts: int
    max_chosen_drop: float
    max_length_growth: float

    def axolotl(self) -> dict[str, Any]:
        """See `Run.axolotl`."""
        # The column `messages` is dropped behind the rendering; one called `prompt` would be, too.
        rows = {"type": "chat_template.default", "field_messages": "messages"}
        own: dict[str, Any] = {"rows": rows, "rl": "dpo", "rl_beta": self.beta}
        if self.sft_weight:
            own |= {"dpo_loss_type": [self.loss, "sft"], "dpo_loss_weights": [1.0, self.sft_weight]}
        elif self.loss != "sigmoid":
            own |= {"dpo_loss_type": [self.loss], "dpo_loss_weights": [1.0]}
        return own


RUN = DpoRun
