"""Prefect's log lines and events, kept while the server is away and sent when it is back.

By default a log line that cannot be sent is dropped with a message of its own on the terminal,
and an event (a task run's state is one) after ten seconds. Lines still unsent when the run ends
without its server are for the next command to send (flows/crashed_runs.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, ClassVar

from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker, set_api_log_sink

from tasks.best_effort import SERVER_AWAY, unreachable
from tasks.runner import other_settings

_AGAIN_SECONDS = 1.0
_SENDING_SECONDS = 5.0
_MAX_LINES = 10_000
# An attempt takes a second. (The client's class must be Prefect's own: it ignores any other.)
_EVENT_ATTEMPTS = 120
# The last one tells, with a traceback, of a connection whose other end is gone.
_TALKATIVE = ("prefect.events.clients", "prefect._internal.concurrency", "websockets.client")
_OF_ITS_ABSENCE = ("Unable to connect", "keepalive ping failed")
_FOR_GOOD = contextlib.ExitStack()


class RetryingLogWorker(APILogWorker):
    """Sends log lines again until they are taken, or the run has ended without the server.

    Attributes:
        unsent: lines that wait, oldest first.
        left_out: how many more there were than are kept.
    """

    used = over = False
    unsent: ClassVar[deque[dict[str, Any]]] = deque()
    left_out = 0

    @classmethod
    def keep(cls, line: dict[str, Any]) -> None:
        """Send a line, now or when the server is back."""
        if len(cls.unsent) >= _MAX_LINES:
            cls.left_out += 1
            return
        # Prefect's own note of its size is refused by the server.
        cls.unsent.append({key: line[key] for key in line if not key.startswith("__")})
        cls.instance().send(line)

    async def _handle_batch(self, items: list[Any]) -> None:
        # Prefect 3.9 queues lines as JSON, 3.8 as plain values.
        lines = [json.loads(item) if isinstance(item, bytes) else item for item in items]
        while not RetryingLogWorker.over:
            leaving = self._stopped
            if not SERVER_AWAY.is_set():
                try:
                    await self._client.create_logs(lines)
                except Exception as error:
                    if not unreachable(error):
                        self._forget(lines)
                        raise
                else:
                    self._forget(lines)
                    return
            if leaving:
                return  # the process wants to end, and the client has tried for a minute
            await asyncio.sleep(_AGAIN_SECONDS)

    @staticmethod
    def _forget(lines: list[Any]) -> None:
        for _ in lines[: len(RetryingLogWorker.unsent)]:
            RetryingLogWorker.unsent.popleft()


class _Quiet(logging.Filter):
    """The watch says that the server is away; once is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (SERVER_AWAY.is_set() or str(record.msg).startswith(_OF_ITS_ABSENCE))


def stop_retrying() -> list[dict[str, Any]]:
    """The run is over and the server is still away: nothing more is sent, nothing tried again.

    Returns:
        The log lines that were not sent.
    """
    RetryingLogWorker.over = True
    # Left set on purpose: Prefect is about to record the end of the flow this is called in.
    _FOR_GOOD.enter_context(other_settings("client", max_retries=0))
    return list(RetryingLogWorker.unsent)


def _send_waiting() -> None:
    """Send the log lines from before, which Prefect's own queue would drop loudly.

    By Prefect's own flush the queue of events would be closed as well, under whoever is about to
    put something there: the first event that says that the run lives.
    """
    # To ask Prefect for the worker would start one where none is, and a server with it.
    for worker in tuple(APILogWorker._instances.values()):  # type: ignore[misc]
        if isinstance(worker, APILogWorker):
            # As patient as that flush: a server that is away is not waited for.
            sending = threading.Thread(target=worker.drain, daemon=True)
            sending.start()
            sending.join(_SENDING_SECONDS)


@contextlib.contextmanager
def retry_logs() -> Iterator[None]:
    """Within it, log lines and events outlive a server's absence. The outermost block counts."""
    if not os.environ.get("PREFECT_API_URL") or RetryingLogWorker.used:
        yield
        return
    _send_waiting()
    quiet = _Quiet()
    RetryingLogWorker.used, RetryingLogWorker.over, RetryingLogWorker.left_out = True, False, 0
    RetryingLogWorker.unsent.clear()
    set_api_log_sink(RetryingLogWorker.keep)
    EventsWorker.set_client_override(PrefectEventsClient, reconnection_attempts=_EVENT_ATTEMPTS)
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(quiet)
    try:
        yield
    finally:
        RetryingLogWorker.used = False
        if not RetryingLogWorker.over:
            set_api_log_sink(None)
            EventsWorker.set_client_override(None)
            for name in _TALKATIVE:
                logging.getLogger(name).removeFilter(quiet)
