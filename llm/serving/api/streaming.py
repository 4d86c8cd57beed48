"""Answers on their way to the client, and what happens when it has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from llm.serving.api.answers import Answer, Choice
from llm.serving.api.errors import ApiError
from llm.serving.api.exchange import Exchange

_CLIENT_GONE = 499  # nginx's; nobody reads it


class EventStream(StreamingResponse):
    """Chunks as server-sent events; when it ends, also because the client has gone, the exchange's
    places are free."""

    def __init__(self, exchange: Exchange, answer: Answer, choices: int, with_usage: bool) -> None:
        self._exchange = exchange
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # proxies pass it on
        super().__init__(
            _events(exchange, answer, choices, with_usage),
            headers=headers,
            media_type="text/event-stream",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._exchange.cancel()


async def _events(
    exchange: Exchange, answer: Answer, choices: int, with_usage: bool
) -> AsyncIterator[bytes]:
    for chunk in answer.opening(choices):
        yield _event(chunk)
    try:
        async for choice, piece in exchange.pieces():
            told = answer.chunk(choice, piece)
            if told is not None:
                yield _event(told)
    except ApiError as error:
        # The status has gone out; clients look for this field in any event.
        yield _event(error.body())
        return
    if with_usage:
        yield _event(answer.closing(exchange.usage))
    yield b"data: [DONE]\n\n"


def _event(record: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(record, allow_nan=False).encode() + b"\n\n"


async def whole_answer(
    request: Request, exchange: Exchange, answer: Answer, choices: int
) -> Response:
    """The answer when all of it is there; given up when the client goes before.

    Raises:
        ApiError: the server broke it off.
    """
    gathering = asyncio.ensure_future(_gather(exchange, choices))
    leaving = asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait({gathering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not gathering.done():
            return Response(status_code=_CLIENT_GONE)
        return JSONResponse(answer.whole(gathering.result(), exchange.usage))
    finally:
        exchange.cancel()
        gathering.cancel()
        leaving.cancel()


async def _gather(exchange: Exchange, choices: int) -> list[Choice]:
    gathered = [Choice() for _ in range(choices)]
    async for choice, piece in exchange.pieces():
        gathered[choice].add(piece)
    return gathered


async def _hang_up(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
