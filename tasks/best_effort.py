"""Telling the Prefect server what a stage does, without the stage ever waiting for it.

The store is the record of what was built; the server shows it. So what is told to the server on
the way is best effort: sent from a thread of its own, the newest only, and not missed when the
server is away.
"""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable

import httpx

_AGAIN_SECONDS = 3.0
_LAST_SECONDS = 5.0
# What Prefect's client raises in place of a transport error.
_WORDS = ("Failed to reach API", "Cannot create flow run. Failed to reach API")

LOG = logging.getLogger("ingot")
# Set while the server is away and nothing is being done about it: nobody tries to reach it.
SERVER_AWAY = threading.Event()


def unreachable(error: BaseException | None) -> bool:
    """Whether an error says that the server is away or cannot serve, and nothing else."""
    while error is not None:
        if isinstance(error, httpx.TransportError):
            return True
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code >= 500:
            return True
        if isinstance(error, RuntimeError) and str(error).startswith(_WORDS):
            return True
        error = error.__cause__
    return False


class LatestCall:
    """A thread that makes the newest of the calls it is given; those before it are dropped.

    A call that does not reach the server is made again until a newer one is there. One that
    fails otherwise is logged, once.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._call: Callable[[], None] | None = None
        self._busy = False
        self._failing = False
        self._closed = False
        # Prefect keeps the current run and its settings in context variables.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._send,), daemon=True).start()

    def submit(self, call: Callable[[], None]) -> None:
        """Have a call made soon; returns at once."""
        with self._changed:
            self._call = call
            self._changed.notify_all()

    def close(self) -> None:
        """Wait a moment for the last call, unless the server is away; then make no more."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._failing or (self._call is None and not self._busy), _LAST_SECONDS
            )
            self._closed = True
            self._changed.notify_all()

    def _send(self) -> None:
        warned = False
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._call is not None or self._closed)
                if self._closed:
                    return
                call, self._call, self._busy = self._call, None, True
            assert call is not None
            failing = False
            try:
                if SERVER_AWAY.is_set():
                    failing = True
                else:
                    call()
            except Exception as error:  # noqa: BLE001 - whatever it is, the stage goes on
                failing = unreachable(error)
                if not failing and not warned:
                    warned = True
                    LOG.warning("progress is not shown: %s: %s", type(error).__name__, error)
            with self._changed:
                self._busy, self._failing = False, failing
                if failing and self._call is None:
                    self._call = call
                self._changed.notify_all()
                if failing:
                    self._changed.wait_for(lambda: self._closed, _AGAIN_SECONDS)
