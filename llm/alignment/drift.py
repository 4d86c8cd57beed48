"""Ways in which a model comes to prefer some answers that nobody asked for."""

from __future__ import annotations

from collections.abc import Mapping

from llm.alignment.answer_lengths import NAME as LENGTH
from llm.errors import ExpectedError

CHOSEN = "validation/chosen_logprob"


class ChosenCollapseError(ExpectedError, RuntimeError):
    """The chosen answers themselves became less probable than the run allows."""


class AnswerLengthError(ExpectedError, RuntimeError):
    """Answers became longer than the run allows."""


def check_drift(
    before: Mapping[str, float], after: Mapping[str, float], drop: float, growth: float
) -> None:
    """Make sure that the model did not come to prefer by ways that nobody asked for.

    Args:
        drop: nats a token that chosen answers may lose; growth: how many times as long answers may
            become; 0 = any.

    Raises:
        ChosenCollapseError, AnswerLengthError
    """
    if drop and CHOSEN in after and before[CHOSEN] - after[CHOSEN] > drop:
        raise ChosenCollapseError(
            f"the chosen answers of validation fell from {before[CHOSEN]:.3f} to "
            f"{after[CHOSEN]:.3f} nats a token, more than max_chosen_drop {drop:g} allows; raise "
            "the weight of the chosen answers (sft_weight, desirable_weight) or beta, lower "
            "learning_rate, or raise the limit"
        )
    if growth and LENGTH in after and after[LENGTH] > growth * max(before[LENGTH], 1.0):
        raise AnswerLengthError(
            f"answers grew from {before[LENGTH]:.1f} to {after[LENGTH]:.1f} tokens, more than "
            f"max_length_growth {growth:g} allows; take answers of like length, a lower "
            "learning_rate, where there is the choice a loss of log-probabilities a token "
            "(sigmoid_norm), or raise the limit"
        )
