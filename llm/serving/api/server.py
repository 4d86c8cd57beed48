"""The app on a port, until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from llm.errors import ExpectedError
from llm.serving.api.guard import is_loopback
from llm.serving.served_model import ServedModel

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WAITING_CONNECTIONS = 2_048
_TELLING_SECONDS = 5  # for clients to hear of it, once answers are broken off


class AddressError(ExpectedError, OSError):
    """There is no listening at that host and port."""


class NoTokenError(ExpectedError, ValueError):
    """A server that others reach asks nobody who they are."""


def check_token(host: str, token: str | None) -> None:
    """
    Raises:
        NoTokenError: the host is not this machine's alone, and there is no token.
    """
    if token is None and not is_loopback(host):
        raise NoTokenError(
            f"whoever reaches {host} could use the models; set a token in INGOT_SERVE_TOKEN, which "
            "clients send as their API key, or listen at 127.0.0.1"
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; connections wait in it until `serve`.

    Args:
        port: 0 = any that is free.

    Raises:
        AddressError: the port is taken or not to be had, or the host is none of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
            bound.listen(_WAITING_CONNECTIONS)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        way = "take another with --port"
        if error.errno == errno.EADDRINUSE:
            raise AddressError(
                f"port {port} of {host} is taken; {way}, 0 for a free one"
            ) from error
        raise AddressError(f"cannot listen at {host}, port {port}: {error.strerror}") from error
    return bound


def address_of(bound: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    app: ASGIApp, bound: socket.socket, models: Sequence[ServedModel], patience: float
) -> None:
    """Answer until SIGTERM, SIGINT or SIGHUP; then let what runs end, and return.

    Args:
        models: that the app serves. What they have not ended in time is broken off, and told so.
        patience: seconds that answers have to end in; a second SIGINT cuts them short.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=round(patience) + _TELLING_SECONDS,
    )
    _Server(config, models, patience).run(sockets=[bound])


class _Server(uvicorn.Server):
    """Whose end is an end: uvicorn's own raises the signal once more behind it."""

    def __init__(
        self, config: uvicorn.Config, models: Sequence[ServedModel], patience: float
    ) -> None:
        super().__init__(config)
        self._models, self._patience = models, patience

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; models take nothing new meanwhile."""
        closing = [
            asyncio.create_task(asyncio.to_thread(model.close, self._patience))
            for model in self._models
        ]
        await super().shutdown(sockets)
        if not self.force_exit:
            await asyncio.gather(*closing)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
