"""What Prefect's libraries say of a server that is away is said once, by the watch."""

from __future__ import annotations

import logging

import pytest
from prefect.events import Event
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import set_api_log_sink
from prefect.settings import PREFECT_API_URL

from flows import server_retry
from flows.server_retry import retry_logs
from tasks.best_effort import SERVER_AWAY


def test_what_tells_of_its_absence_alone_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    log = logging.getLogger("websockets.client")

    def heard() -> list[str]:
        caplog.clear()
        log.error("keepalive ping failed")
        log.error("of another kind")
        return [record.getMessage() for record in caplog.records]

    with retry_logs():
        assert heard() == ["of another kind"]
        SERVER_AWAY.set()
        assert heard() == []
        SERVER_AWAY.clear()
    assert heard() == ["keepalive ping failed", "of another kind"]


def test_lines_are_kept_while_the_server_is_away_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody listens there: what waits is handed over when the run gives up, in its order."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.setattr(server_retry, "_MAX_LINES", 3)
    SERVER_AWAY.set()
    try:
        with server_retry.retry_logs(), server_retry.retry_logs():
            for number in range(5):
                server_retry.RetryingLogWorker.keep({"message": str(number), "__payload_size__": 9})
            assert server_retry.RetryingLogWorker.left_out == 2
            waiting = server_retry.stop_retrying()
    finally:
        SERVER_AWAY.clear()
        server_retry._FOR_GOOD.close()
        set_api_log_sink(None)
        EventsWorker.set_client_override(None)
        server_retry.RetryingLogWorker.unsent.clear()
    assert waiting == [{"message": "0"}, {"message": "1"}, {"message": "2"}]


def test_who_is_about_to_send_an_event_still_can(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of Prefect takes the queue, and puts its event there a moment later."""
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value() or "")
    queue = EventsWorker.instance()
    with retry_logs():
        queue.send(Event(event="ingot.test", resource={"prefect.resource.id": "ingot.test"}))
    assert queue.drain()
