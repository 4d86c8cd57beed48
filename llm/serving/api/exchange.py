"""The answers to one HTTP request, as the model's thread makes them and as the loop reads them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from llm.serving.api.errors import queue_full, stopping
from llm.serving.api.meters import Meters
from llm.serving.api.requests import too_long
from llm.serving.request import Piece, Request
from llm.serving.served_model import PromptTooLongError, QueueFullError, ServedModel, Ticket


class Exchange:
    """Requests that were handed to a model together, one a choice.

    Whoever makes one ends it with `cancel`, which does nothing to what has ended by itself.

    Args:
        copies: how many requests each prompt has.
        field: of the body that the prompts are from.

    Attributes:
        prompt_tokens, completion_tokens: counts, of each prompt once and of what has been read.

    Raises:
        ApiError: the queue is full, or a prompt fills the context; none of them runs then.
    """

    def __init__(
        self,
        model: ServedModel,
        requests: Sequence[Request],
        copies: int,
        field: str,
        meters: Meters,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[int, Piece]] = asyncio.Queue()
        self._tickets: list[Ticket] = []
        self._meters = meters.of(model.name)
        self._begun = time.perf_counter()
        self._first: dict[int, float] = {}
        self._counts = [0] * len(requests)
        self.prompt_tokens = sum(len(each.prompt) for each in requests) // copies
        try:
            for choice, request in enumerate(requests):
                self._tickets.append(model.submit(request, self._deliver_to(choice)))
        except QueueFullError as error:
            self.cancel()
            raise queue_full(str(error), error.retry_after) from error
        except PromptTooLongError as error:
            self.cancel()
            raise too_long(str(error), field) from error
        except BaseException:
            self.cancel()
            raise
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
        """(choice, piece) until all have ended.

        Raises:
            ApiError: the server broke one off.
        """
        left = len(self._tickets)
        while left:
            choice, piece = await self._queue.get()
            self._measure(choice, piece)
            if piece.ended == "cancelled":
                raise stopping()
            left -= piece.ended is not None
            yield choice, piece

    def cancel(self) -> None:
        """Free the places of those that have not ended."""
        for ticket in self._tickets:
            ticket.cancel()

    def _deliver_to(self, choice: int) -> Callable[[Piece], None]:
        def deliver(piece: Piece) -> None:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, (choice, piece))

        return deliver

    def _measure(self, choice: int, piece: Piece) -> None:
        now = time.perf_counter()
        self._counts[choice] += len(piece.tokens)
        self._meters.wrote(len(piece.tokens))
        if choice not in self._first:
            self._first[choice] = now
            self._meters.first_token(now - self._begun)
        if piece.ended is not None and self._counts[choice] > 1:
            self._meters.token((now - self._first[choice]) / (self._counts[choice] - 1))
