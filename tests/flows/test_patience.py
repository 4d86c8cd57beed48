"""What Prefect's libraries say of a server that is away is said once, by the watch."""

from __future__ import annotations

import logging

import pytest

from flows.patience import patient
from tasks.best_effort import AWAY


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

    with patient():
        assert heard() == ["of another kind"]
        AWAY.set()
        assert heard() == []
        AWAY.clear()
    assert heard() == ["keepalive ping failed", "of another kind"]
