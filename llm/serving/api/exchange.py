"""The answers to one HTTP request, as the model's thread makes them and as the loop reads them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from llm.model.batching import PromptLengthError
from llm.model.sampling import SamplingError
from llm.serving.api.errors import ApiError, bad_request, failed, queue_full, stopping
from llm.serving.api.meters import Meters
from llm.serving.api.requests import too_long
from llm.serving.request import Piece, Request
from llm.serving.served_model import (
    ModelClosedError,
    QueueFullError,
    ServedModel,
    Ticket,
)

_Arrived = tuple[int, Piece, float]  # choice, what of it, when


class Exchange:
    """Requests that were handed to a model together, one a choice.

    Whoever makes one ends it with `cancel`, which does nothing to what has ended by itself.

    Args:
        copies: how many requests each prompt has.
        field: of the body that the prompts are from.
        streamed: whether pieces are wanted as they are made, or all of them at the end.

    Attributes:
        prompt_tokens, completion_tokens: counts, of each prompt once and of what has been read.

    Raises:
        ApiError: the queue is full, or the model refuses a request; none of them runs then.
    """

    def __init__(
        self,
        model: ServedModel,
        requests: Sequence[Request],
        copies: int,
        field: str,
        streamed: bool,
        meters: Meters,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._streamed, self._meters = streamed, meters.of(model.name)
        self._arrived: deque[_Arrived] = deque()
        self._news, self._told = asyncio.Event(), False
        self._open: dict[int, Ticket] = {}
        self._begun = time.perf_counter()
        self._first: dict[int, float] = {}
        self._counts = [0] * len(requests)
        self.prompt_tokens = sum(len(each.prompt) for each in requests) // copies
        try:
            for choice, request in enumerate(requests):
                self._open[choice] = model.submit(request, self._deliver_to(choice))
        except BaseException as error:
            self.cancel()
            refusal = _refusal(error, field)
            if refusal is None:
                raise
            raise refusal from error
        self._meters.read(self.prompt_tokens)

    @property
    def completion_tokens(self) -> int:
        return sum(self._counts)

    @property
    def usage(self) -> dict[str, int]:
        """Counts of tokens so far."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """(choice, piece) until all have ended. What came while the reader was busy is one piece.

        Raises:
            ApiError: the server broke one off.
        """
        while self._open:
            await self._news.wait()
            self._news.clear()
            for choice, piece in self._take().items():
                if piece.ended is not None:
                    del self._open[choice]
                if piece.ended == "cancelled":
                    raise stopping()
                if piece.ended == "failed":
                    raise failed()
                yield choice, piece

    def cancel(self) -> None:
        """Free the places of those that have not ended."""
        for ticket in self._open.values():
            ticket.cancel()

    def _deliver_to(self, choice: int) -> Callable[[Piece], None]:
        def deliver(piece: Piece) -> None:  # in the model's thread
            if self._loop.is_closed():  # the server was ended at once, and nobody reads
                return
            self._arrived.append((choice, piece, time.perf_counter()))
            if (self._streamed or piece.ended is not None) and not self._told:
                self._told = True  # once for all that come until the loop looks
                self._loop.call_soon_threadsafe(self._tell)

        return deliver

    def _tell(self) -> None:
        self._told = False
        self._news.set()

    def _take(self) -> dict[int, Piece]:
        """What has arrived, by choice."""
        taken: dict[int, list[Piece]] = {}
        while self._arrived:
            choice, piece, when = self._arrived.popleft()
            self._measure(choice, piece, when)
            taken.setdefault(choice, []).append(piece)
        return {choice: _join(pieces) for choice, pieces in taken.items()}

    def _measure(self, choice: int, piece: Piece, when: float) -> None:
        self._counts[choice] += len(piece.tokens)
        self._meters.wrote(len(piece.tokens))
        if choice not in self._first:
            self._first[choice] = when
            self._meters.first_token(when - self._begun)
        if piece.ended is not None and self._counts[choice] > 1:
            self._meters.token((when - self._first[choice]) / (self._counts[choice] - 1))


def _join(pieces: Sequence[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    return Piece(
        "".join(piece.text for piece in pieces),
        tuple(token for piece in pieces for token in piece.tokens),
        tuple(token for piece in pieces for token in piece.scored),
        pieces[-1].ended,
    )


def _refusal(error: BaseException, field: str) -> ApiError | None:
    """What to tell of a request that a model does not take."""
    if isinstance(error, QueueFullError):
        return queue_full(str(error), error.retry_after)
    if isinstance(error, PromptLengthError):
        return too_long(str(error), field)
    if isinstance(error, SamplingError):
        return bad_request(str(error))
    if isinstance(error, ModelClosedError):
        return stopping()
    return None
