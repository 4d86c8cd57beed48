"""Who may ask: whoever knows the token; without one, whoever is on this machine."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from llm.serving.api.errors import ApiError

_GUARDED = ("/v1/", "/metrics")


class Guard:
    """Lets through what may be let through, in front of an app.

    Args:
        token: every request for `/v1/` and `/metrics` has to bear it; the page, which asks for
            it, and `/health` have not. None: no token is asked for, and requests that were sent
            to a name that is not this machine's are refused, since the page of another site can
            have its name resolved to this machine and would be let in by the browser.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refusal(scope["path"], Headers(scope=scope))
            if refusal is not None:
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> ApiError | None:
        if self._token is None:
            host = headers.get("host", "")
            if host and not is_loopback(_without_port(host)):
                return ApiError(
                    403, f"{host} is not this machine; a server for others asks for a token", "host"
                )
            return None
        if not path.startswith(_GUARDED):
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        # Headers are read as Latin-1, whatever their bytes are.
        known = hmac.compare_digest(given.strip().encode("latin-1"), self._token.encode())
        if kind.lower() == "bearer" and known:
            return None
        return ApiError(
            401,
            "send the server's token: Authorization: Bearer …",
            "invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's alone, as it is written."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
