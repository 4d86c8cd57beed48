"""A conversation with a model: turns in, answers out, within its context."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llm.errors import ExpectedError
from llm.model import folder as model_folder
from llm.model import generation
from llm.model.generation import Sampling
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
        """The answer to a turn, white space around it left out; see `stream`."""
        return "".join(self.stream(text))

    def stream(self, text: str) -> Iterator[str]:
        """The answer to a turn in pieces, each as soon as the model has said it; joined they are
        what `say` returns. The oldest turns are forgotten where the context is full. The turn
        counts as said once its answer has ended.

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
                f"{context}; send a shorter message"
            )
        return self._answer(turns, prompt, room)

    def _answer(self, turns: list[dict[str, str]], prompt: list[int], room: int) -> Iterator[str]:
        ids: list[int] = []
        streamed = ""
        for step in generation.stream(
            self._model, [prompt], room, self._encoder.stops, self._sampling
        ):
            ids += step.values()
            # What the next token may change is kept back: white space that may be the last, and
            # a character of which bytes are missing.
            sure = self._encoder.decode(ids).rstrip("\ufffd").strip()
            yield sure[len(streamed) :]
            streamed = sure
        # It enters again as it was said, white space and all; no turn is without a text.
        answer = self._encoder.decode(ids)
        yield answer.strip()[len(streamed) :]
        content = answer if answer.strip() else "…"
        self._turns = [*turns, {"role": "assistant", "content": content}]

    def forget(self) -> None:
        """Begin anew."""
        self._turns.clear()
