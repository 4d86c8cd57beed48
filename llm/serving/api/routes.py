"""OpenAI's routes, and `/v1/tokenize`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from llm.serving.api.answers import Answer, ChatAnswer, CompletionAnswer
from llm.serving.api.bodies import GenerationBody
from llm.serving.api.exchange import Exchange
from llm.serving.api.limits import Limits
from llm.serving.api.meters import Meters
from llm.serving.api.offer import Offer, find
from llm.serving.api.reading import chat_body, completion_body, read_record, tokenize_body
from llm.serving.api.requests import chat_requests, completion_requests, conversation
from llm.serving.api.streaming import EventStream, whole_answer
from llm.serving.request import Request as ModelRequest


def router(offers: Mapping[str, Offer], limits: Limits, meters: Meters) -> APIRouter:
    """Routes over these models, the first of which is the one that `/v1/tokenize` takes unasked."""
    routes = APIRouter(prefix="/v1")

    @routes.get("/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [offer.record for offer in offers.values()]})

    @routes.get("/models/{name:path}")
    async def model(name: str) -> Response:
        return JSONResponse(find(offers, name).record)

    @routes.post("/chat/completions")
    async def chat(request: Request) -> Response:
        body = chat_body(await read_record(request, limits.body_bytes))
        offer = find(offers, body.model)
        # Long texts take their time in the tokenizer, and the loop has others to serve.
        wanted = await run_in_threadpool(chat_requests, body, offer.model, limits)
        answer = ChatAnswer(
            body.model,
            offer.fingerprint,
            bool(body.stream),
            body.with_usage,
            body.runners_up is not None,
        )
        return await _answer(request, body, offer, wanted, answer, "messages")

    @routes.post("/completions")
    async def completions(request: Request) -> Response:
        body = completion_body(await read_record(request, limits.body_bytes))
        offer = find(offers, body.model)
        wanted = await run_in_threadpool(completion_requests, body, offer.model, limits)
        answer = CompletionAnswer(
            body.model, offer.fingerprint, body.with_usage, body.logprobs is not None
        )
        return await _answer(request, body, offer, wanted, answer, "prompt")

    @routes.post("/tokenize")
    async def tokenize(request: Request) -> Response:
        body = tokenize_body(await read_record(request, limits.body_bytes))
        offer = find(offers, body.model) if body.model else next(iter(offers.values()))
        encoder = offer.model.encoder

        def tokens() -> dict[str, Any]:
            if body.messages is not None:
                ids = conversation(encoder, body.messages)
            else:
                ids = encoder.text(body.text or "")
            texts = [encoder.decode([token]) for token in ids]
            return {"model": offer.model.name, "ids": ids, "tokens": texts, "count": len(ids)}

        return JSONResponse(await run_in_threadpool(tokens))

    async def _answer(
        request: Request,
        body: GenerationBody,
        offer: Offer,
        wanted: list[ModelRequest],
        answer: Answer,
        field: str,
    ) -> Response:
        streamed = bool(body.stream)
        exchange = Exchange(offer.model, wanted, body.n or 1, field, streamed, meters)
        if streamed:
            return EventStream(exchange, answer, len(wanted), body.with_usage)
        return await whole_answer(request, exchange, answer, len(wanted))

    return routes
