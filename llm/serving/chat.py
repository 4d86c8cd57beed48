"""A conversation with a model: turns in, answers out, within its context."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from llm.errors import ExpectedError
from llm.model import generation
from llm.model.sampling import Sampling
from llm.serving.answer_text import AnswerText, TokenTexts
from llm.serving.served_model import TRIAL_SECONDS, Precision, load_inference
from llm.tokens.chat import ChatEncoder
from llm.training.threads import ThreadTuner


class TurnTooLongError(ExpectedError, ValueError):
    """A turn alone leaves no room for an answer."""


class TurnNotTextError(ExpectedError, ValueError):
    """A turn holds bytes that are no UTF-8."""


def check_text(turn: str) -> None:
    """Make sure that what came from outside is text.

    Raises:
        TurnNotTextError: it holds lone surrogates, in which Python keeps bytes that are no UTF-8.
    """
    try:
        turn.encode()
    except UnicodeEncodeError as error:
        raise TurnNotTextError(
            f"the turn is not UTF-8 at character {error.start + 1}; convert it to UTF-8"
        ) from error


class Conversation:
    """Turns so far, and the model that answers.

    Args:
        folder: of a model that was tuned to take turns.
        new_tokens: of an answer at most.
        precision: of the weights.

    Attributes:
        sampling: of the answers to come.
        system: what the model is told before the first turn; empty = nothing.
        turns: said so far, those of the user and the answers.
        forgotten: how many of them the last prompt had no room for.
        spoken: tokens of the last answer.
    """

    def __init__(
        self, folder: Path, sampling: Sampling, new_tokens: int, precision: Precision = "fp32"
    ) -> None:
        self._inference = load_inference(folder, 1, precision)
        self._encoder, self._texts = ChatEncoder(folder), TokenTexts(folder)
        self.sampling, self._new_tokens = sampling, new_tokens
        self._tuner = ThreadTuner(self._inference.device, 0, trial_seconds=TRIAL_SECONDS)
        self.system = ""
        self.turns: list[dict[str, str]] = []
        self.forgotten = self.spoken = 0

    def say(self, text: str) -> str:
        """The answer to a turn, white space around it left out; see `stream`."""
        return "".join(self.stream(text))

    def stream(self, text: str) -> Iterator[str]:
        """The answer to a turn in pieces, each as soon as the model has said it; joined they are
        what `say` returns. The oldest turns are left out where the context is full. The turn
        counts as said once its answer has ended.

        Raises:
            TurnNotTextError: it is no text.
            TurnTooLongError: even alone the turn fills the context; the turns so far are kept.
        """
        check_text(text)
        turns = [*self.turns, {"role": "user", "content": text}]
        context = self._inference.longest
        room = min(self._new_tokens, context // 2)
        forgotten = 0
        prompt = self._prompt(turns)
        while len(prompt) > context - room and forgotten + 1 < len(turns):
            forgotten += 2
            prompt = self._prompt(turns[forgotten:])
        if len(prompt) > context - room:
            raise TurnTooLongError(
                f"{len(prompt)} tokens leave no room for an answer of {room} in a context of "
                f"{context}; send a shorter message"
            )
        self.forgotten = forgotten
        return self._answer(turns, prompt, room)

    def _prompt(self, turns: list[dict[str, str]]) -> list[int]:
        told = [{"role": "system", "content": self.system}] if self.system else []
        return self._encoder.prompt([*told, *turns])

    def _answer(self, turns: list[dict[str, str]], prompt: list[int], room: int) -> Iterator[str]:
        text, answer, told = AnswerText(self._texts), "", 0
        self.spoken = 0
        tokens = generation.stream(
            self._inference, prompt, room, self._encoder.stops, self.sampling
        )
        while True:
            began = time.monotonic()
            token = next(tokens, None)
            if token is None:
                break
            if self.spoken:  # the first one's time is the prompt's
                self._tuner.done(1.0, time.monotonic() - began)
            self.spoken += 1
            answer += text.add(token)
            # What the next token may change is kept back: white space that may be the last.
            sure = answer.strip()
            yield sure[told:]
            told = len(sure)
        # It enters again as it was said, white space and all; no turn is without a text.
        answer += text.finish()
        yield answer.strip()[told:]
        content = answer if answer.strip() else "…"
        self.turns = [*turns, {"role": "assistant", "content": content}]

    def forget(self) -> None:
        """Begin anew."""
        self.turns.clear()
        self.forgotten = 0
