"""A conversation with a model: turns in, answers out, within its context."""

from __future__ import annotations

from pathlib import Path

from llm.errors import ExpectedError
from llm.model import folder as model_folder
from llm.model.generation import Sampling, generate
from llm.tokens.chat import ChatEncoder


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
    """

    def __init__(self, folder: Path, sampling: Sampling, new_tokens: int) -> None:
        self._model = model_folder.load(folder)
        self._encoder = ChatEncoder(folder)
        self._sampling, self._new_tokens = sampling, new_tokens
        self._turns: list[dict[str, str]] = []

    def say(self, text: str) -> str:
        """The answer to a turn; the oldest turns are forgotten where the context is full.

        Raises:
            TurnNotTextError: it is no text.
            TurnTooLongError: even alone the turn fills the context; the turns so far are kept.
        """
        check_text(text)
        turns = [*self._turns, {"role": "user", "content": text}]
        context = self._model.architecture.context
        room = min(self._new_tokens, context // 2)
        prompt = self._encoder.prompt(turns)
        while len(prompt) > context - room and len(turns) > 1:
            del turns[:2]
            prompt = self._encoder.prompt(turns)
        if len(prompt) > context - room:
            raise TurnTooLongError(
                f"{len(prompt)} tokens leave no room for an answer of {room} in a context of "
                f"{context}; say less at once"
            )
        stops = self._encoder.stops
        (ids,) = generate(self._model, [prompt], room, stops, self._sampling)
        # It enters again as it was said, white space and all; no turn is without a text.
        answer = self._encoder.decode(ids)
        said = answer if answer.strip() else "…"
        self._turns = [*turns, {"role": "assistant", "content": said}]
        return answer.strip()

    def forget(self) -> None:
        """Begin anew."""
        self._turns.clear()
