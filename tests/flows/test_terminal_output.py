"""What a run in a terminal says of Prefect's own doings, and with which of its settings it runs."""

from __future__ import annotations

import logging

import pytest
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, get_current_settings, temporary_settings

from flows.cli.terminal import LateWork, _without_heartbeat
from tasks.runner import other_settings


def told(kept_back: LateWork, message: str) -> bool:
    return bool(kept_back.filter(logging.LogRecord("", 30, "", 0, message, None, None)))


def test_the_first_word_of_events_that_wait_is_kept_back() -> None:
    kept_back = LateWork()
    waiting = "Still processing items: 3 items remaining..."
    assert told(kept_back, "EventsWorker cannot connect")
    assert not told(kept_back, waiting)
    assert told(kept_back, waiting)  # four seconds later


def test_other_settings_are_those_prefect_makes_of_them() -> None:
    before = get_current_settings()
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        wanted = get_current_settings().model_dump()
    with other_settings("client", max_retries=0):
        assert PREFECT_CLIENT_MAX_RETRIES.value() == 0
        assert get_current_settings().model_dump() == wanted
    assert get_current_settings() is before


def test_a_heartbeat_is_sent_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
    monkeypatch.delenv(name, raising=False)
    with _without_heartbeat():
        assert get_current_settings().flows.heartbeat_frequency is None
    monkeypatch.setenv(name, "60")
    usual = get_current_settings().flows.heartbeat_frequency
    with _without_heartbeat():
        assert get_current_settings().flows.heartbeat_frequency == usual
    assert usual is not None
