"""Prefect's log lines and events, kept while the server is away and sent when it is back.

By default a log line that cannot be sent is dropped with a message of its own on the terminal,
and an event (a task run's state is one) after ten seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from prefect.events.clients import RETRYABLE_EXCEPTIONS, PrefectEventsClient
from prefect.events.schemas.events import Event
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker, set_api_log_sink

from tasks.best_effort import unreachable

_AGAIN_SECONDS = 1.0
_EVENTS_LOGGER = "prefect.events.clients"


class KeptLogs(APILogWorker):
    """Sends log lines again until they are taken."""

    async def _handle_batch(self, items: list[dict[str, Any]]) -> None:
        while not KeptEvents.over:
            leaving = self._stopped
            try:
                await self._client.create_logs(items)  # type: ignore[arg-type]
                return
            except Exception as error:
                if not unreachable(error):
                    raise
            if leaving:
                return  # the process wants to end, and the client has tried for a minute
            await asyncio.sleep(_AGAIN_SECONDS)


class KeptEvents(PrefectEventsClient):
    """Sends events again until they are taken, or the run has ended without the server."""

    over = False

    async def _emit(self, event: Event) -> None:
        while not KeptEvents.over:
            try:
                await super()._emit(event)
                return
            except RETRYABLE_EXCEPTIONS:
                # It keeps what is not confirmed; this one is about to come again.
                with contextlib.suppress(ValueError):
                    self._unconfirmed_events.remove(event)
                await asyncio.sleep(_AGAIN_SECONDS)


class _Quiet(logging.Filter):
    """The watch says that the server is away; once is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Unable to connect")


def give_up() -> None:
    """The run is over and the server is still away: nothing more is sent."""
    KeptEvents.over = True


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Within it, log lines and events outlive a server's absence."""
    if not os.environ.get("PREFECT_API_URL"):
        yield
        return
    quiet = _Quiet()
    KeptEvents.over = False
    set_api_log_sink(lambda line: KeptLogs.instance().send(line))
    EventsWorker.set_client_override(KeptEvents)
    logging.getLogger(_EVENTS_LOGGER).addFilter(quiet)
    try:
        yield
    finally:
        set_api_log_sink(None)
        EventsWorker.set_client_override(None)
        logging.getLogger(_EVENTS_LOGGER).removeFilter(quiet)
