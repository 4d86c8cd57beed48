"""`/v1/attribution`, which is not OpenAI's: the training texts in which an answer stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from llm.corpus.attribution.sources import Attribution
from llm.serving.api.errors import ApiError, bad_request
from llm.serving.api.limits import Limits
from llm.serving.api.reading import attribution_body, read_record

_LONGEST_TEXT = 100_000  # characters; some seconds of search in a large index


@dataclass(frozen=True)
class Attributor:
    """
    Attributes:
        attribute: where a text stands.
        passport: what each stage says of a document, by its doc_id: stage, output, and the row's
            own columns; empty where there is no such document.
    """

    attribute: Callable[[str], Attribution]
    passport: Callable[[str], Sequence[Mapping[str, Any]]]


def attribution_router(attributor: Attributor, limits: Limits) -> APIRouter:
    """Routes that ask an index."""
    routes = APIRouter(prefix="/v1/attribution")

    @routes.get("")
    async def offered() -> Response:
        return JSONResponse({"object": "attribution", "longest_text": _LONGEST_TEXT})

    @routes.post("")
    async def attribution(request: Request) -> Response:
        body = attribution_body(await read_record(request, limits.body_bytes))
        if len(body.text) > _LONGEST_TEXT:
            raise bad_request(
                f"text: {len(body.text):,} characters; {_LONGEST_TEXT:,} are allowed", "text"
            )
        found = await run_in_threadpool(attributor.attribute, body.text)
        return JSONResponse({"object": "attribution", **found.record()})

    @routes.get("/documents/{doc_id}")
    async def passport(doc_id: str) -> Response:
        rows = await run_in_threadpool(attributor.passport, doc_id)
        if not rows:
            raise ApiError(404, f"there is no document {doc_id!r}", "document_not_found")
        return JSONResponse({"object": "list", "data": list(rows)})

    return routes
