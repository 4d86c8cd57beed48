"""Prefect's log lines and events, kept while the server is away and sent when it is back.

By default a log line that cannot be sent is dropped with a message of its own on the terminal,
and an event (a task run's state is one) after ten seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Iterator
from typing import Any

from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogHandler, APILogWorker, set_api_log_sink

from tasks.best_effort import AWAY, unreachable
from tasks.runner import other_settings

_AGAIN_SECONDS = 1.0
# An attempt takes a second. (The client's class must be Prefect's own: it ignores any other.)
_EVENT_ATTEMPTS = 120
# The last one tells, with a traceback, of a connection whose other end is gone.
_TALKATIVE = ("prefect.events.clients", "prefect._internal.concurrency", "websockets.client")
_OF_ITS_ABSENCE = ("Unable to connect", "keepalive ping failed")
_FOR_GOOD = contextlib.ExitStack()


class KeptLogs(APILogWorker):
    """Sends log lines again until they are taken, or the run has ended without the server."""

    over = False

    async def _handle_batch(self, items: list[Any]) -> None:
        # Prefect 3.9 queues lines as JSON, 3.8 as plain values.
        lines = [json.loads(item) if isinstance(item, bytes) else item for item in items]
        while not (KeptLogs.over or AWAY.is_set()):
            leaving = self._stopped
            try:
                await self._client.create_logs(lines)
                return
            except Exception as error:
                if not unreachable(error):
                    raise
            if leaving:
                return  # the process wants to end, and the client has tried for a minute
            await asyncio.sleep(_AGAIN_SECONDS)


class _Quiet(logging.Filter):
    """The watch says that the server is away; once is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (AWAY.is_set() or str(record.msg).startswith(_OF_ITS_ABSENCE))


def give_up() -> None:
    """The run is over and the server is still away: nothing more is sent, nothing tried again."""
    KeptLogs.over = True
    # Left set on purpose: Prefect is about to record the end of the flow this is called in.
    _FOR_GOOD.enter_context(other_settings("client", max_retries=0))


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Within it, log lines and events outlive a server's absence."""
    if not os.environ.get("PREFECT_API_URL"):
        yield
        return
    # Lines from before wait in Prefect's own queue, which drops them loudly.
    APILogHandler().flush()
    quiet = _Quiet()
    KeptLogs.over = False
    set_api_log_sink(lambda line: KeptLogs.instance().send(line))
    EventsWorker.set_client_override(PrefectEventsClient, reconnection_attempts=_EVENT_ATTEMPTS)
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(quiet)
    try:
        yield
    finally:
        if not KeptLogs.over:
            set_api_log_sink(None)
            EventsWorker.set_client_override(None)
            for name in _TALKATIVE:
                logging.getLogger(name).removeFilter(quiet)
