"""The server as an ASGI app: OpenAI's protocol, the chat page, health and counters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llm.serving.api.attribution import Attributor, attribution_router
from llm.serving.api.errors import ApiError
from llm.serving.api.guard import Guard
from llm.serving.api.limits import Limits
from llm.serving.api.meters import Meters
from llm.serving.api.offer import Offer
from llm.serving.api.routes import router
from llm.serving.served_model import Load

_PAGE = Path(__file__).parents[1] / "page"
_COUNTED = (
    "/",
    "/health",
    "/v1/models",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/tokenize",
    "/v1/attribution",
)
# Not as the machine has them set: a browser takes modules of one kind alone.
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # What else the page may do it says itself; this cannot be said there.
    "Content-Security-Policy": "frame-ancestors 'none'",
}


def make_app(
    offers: Mapping[str, Offer],
    limits: Limits,
    token: str | None,
    attributor: Attributor | None,
) -> ASGIApp:
    """An app that serves these models, and closes them when it ends; see `server.serve` for how
    answers under way end before.

    Args:
        token: that clients have to bear; see `Guard`.
        attributor: finds answers in training texts; none where there is no index of them.
    """
    meters = Meters({name: _load_of(offer) for name, offer in offers.items()})

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        closing = (asyncio.to_thread(offer.model.close, 0) for offer in offers.values())
        await asyncio.gather(*closing)

    app = FastAPI(title="Ingot", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.include_router(router(offers, limits, meters))
    if attributor is not None:
        app.include_router(attribution_router(attributor, limits))

    @app.api_route("/health", methods=["GET", "HEAD"])
    async def health() -> Response:
        models = {name: _state(offer) for name, offer in offers.items()}
        well = all(offer.model.alive for offer in offers.values())
        status = {"status": "ok" if well else "failed", "models": models}
        return JSONResponse(status, 200 if well else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    _add_page(app)
    app.add_exception_handler(ApiError, _told)
    app.add_exception_handler(HTTPException, _told)
    app.add_exception_handler(Exception, _fault)
    return _Counted(Guard(app, token), meters)


def _load_of(offer: Offer) -> Callable[[], Load]:
    return lambda: offer.model.load


def _state(offer: Offer) -> dict[str, int | bool]:
    load = offer.model.load
    return {"alive": offer.model.alive, "running": load.running, "waiting": load.waiting}


def _add_page(app: FastAPI) -> None:
    """The chat page at `/`, the files it loads below `/page/`."""
    files = {path.name: path.read_bytes() for path in _PAGE.iterdir() if path.suffix in _KINDS}

    def send(name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        kind = _KINDS[Path(name).suffix]
        return Response(files[name], media_type=kind, headers=_PAGE_HEADERS)

    @app.api_route("/", methods=["GET", "HEAD"])
    async def page() -> Response:
        return send("index.html")

    @app.api_route("/page/{name}", methods=["GET", "HEAD"])
    async def page_file(name: str) -> Response:
        return send(name)


async def _told(request: Request, error: Exception) -> Response:
    """What was wrong with a request."""
    if isinstance(error, HTTPException):
        what = {404: ("there is nothing at", "not_found"), 405: ("not a method of", "bad_method")}
        message, code = what.get(error.status_code, (error.detail, "refused"))
        error = ApiError(
            error.status_code, f"{message} {request.url.path}", code, headers=error.headers
        )
    assert isinstance(error, ApiError)
    return error.response()


async def _fault(request: Request, error: Exception) -> Response:
    """A fault of the server; whoever runs it finds the traceback in its log."""
    return ApiError(500, "a fault of the server; its log says which", "internal_error").response()


class _Counted:
    """Counts answers by route and status; what clients make up is one route, `other`."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        route = path if path in _COUNTED else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._meters.request(route, message["status"])
            await send(message)

        await self._app(scope, receive, counted)
