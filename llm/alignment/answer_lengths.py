"""How long a model's answers are while it is tuned.

A model that is rewarded for one answer over another may learn to say more, or less, whatever is
asked (Park et al. 2024, "Disentangling length from quality in direct preference optimization").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import torch
from transformers import TrainerCallback

from llm.alignment.trainer import Session
from llm.foreign.model import AnyModel
from llm.model.generation import generate

NAME = "validation/answer_tokens"
_POINTS = 5  # along a run


class AnswerLengths(TrainerCallback):  # type: ignore[misc]
    """Measures the mean length of greedy answers, at a few steps of a run beside its other figures.

    Args:
        prompts: tokens of each, without any that leave no room in the context; none = measures
            nothing.
        stops: tokens that end an answer.
        new_tokens: longest answer.
    """

    def __init__(
        self,
        model: AnyModel,
        prompts: Sequence[Sequence[int]],
        stops: Sequence[int],
        new_tokens: int,
    ) -> None:
        self._model, self._prompts = model, prompts
        self._stops, self._new_tokens = stops, new_tokens

    def measure(self) -> dict[str, float]:
        """Mean tokens of an answer, the end of its turn left out, by its name."""
        if not self._prompts:
            return {}
        training = self._model.training
        self._model.eval()
        with torch.no_grad():
            answers = generate(self._model, self._prompts, self._new_tokens, self._stops)
        self._model.train(training)
        return {NAME: sum(map(len, answers)) / len(answers)}

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """The figures of the step are the last in the history by now, which checkpoints keep."""
        every = -(-state.max_steps // _POINTS)
        due = state.global_step % every == 0 and state.global_step < state.max_steps
        if due and "loss" in (logs or {}):
            state.log_history[-1].update(self.measure())


def answer_lengths(
    session: Session, model: AnyModel, validation: pa.Table, count: int
) -> AnswerLengths:
    """Of the first `count` rows of validation that leave room for an answer as long as the longest.

    Args:
        validation: with `prompt_tokens`.
    """
    room = session.limit.tokens // 2
    prompts = validation.column("prompt_tokens").to_pylist()
    short = [prompt for prompt in prompts if len(prompt) <= session.limit.tokens - room]
    return AnswerLengths(model, short[:count], session.chat.stops, room)
