"""What is told to the server on the way: the newest, without anybody waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tasks import best_effort
from tasks.best_effort import SERVER_AWAY, LatestCall, unreachable


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(best_effort, "_AGAIN_SECONDS", 0.05)
    yield
    SERVER_AWAY.clear()


def answer(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://127.0.0.1/api")
    return httpx.HTTPStatusError("", request=request, response=httpx.Response(status))


def test_what_says_that_the_server_is_away() -> None:
    assert unreachable(httpx.ConnectError("All connection attempts failed"))
    assert unreachable(answer(503))
    assert unreachable(RuntimeError("Failed to reach API at http://127.0.0.1:4200/api/"))
    wrapped = ValueError("no state")
    wrapped.__cause__ = httpx.ReadError("gone")
    assert unreachable(wrapped)
    assert not unreachable(answer(404))
    assert not unreachable(RuntimeError("the stage failed"))
    assert not unreachable(None)


def test_a_call_that_hangs_delays_nobody_and_only_the_newest_follows() -> None:
    seen: list[int] = []
    go_on, began = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        go_on.wait(10)
        seen.append(0)

    newest = LatestCall()
    newest.submit(slow)
    assert began.wait(10)
    before = time.monotonic()
    for number in range(1, 50):
        newest.submit(lambda number=number: seen.append(number))  # type: ignore[misc]
    assert time.monotonic() - before < 5
    go_on.set()
    newest.close()
    assert seen == [0, 49]


def test_the_last_call_is_made_again_when_the_server_is_back() -> None:
    seen, failures = [], 3

    def shown() -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise httpx.ConnectError("refused")
        seen.append("100 %")

    newest = LatestCall()
    newest.submit(shown)
    deadline = time.monotonic() + 10
    while not seen and time.monotonic() < deadline:
        time.sleep(0.02)
    assert seen == ["100 %"]


def test_another_error_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def wrong() -> None:
        raise ValueError("progress of 200 %")

    for _ in range(2):
        newest = LatestCall()
        newest.submit(wrong)
        newest.close()
    assert [record.message for record in caplog.records] == [
        "progress is not shown: ValueError: progress of 200 %"
    ] * 2


def test_nobody_is_called_where_the_server_is_given_up() -> None:
    seen: list[int] = []
    SERVER_AWAY.set()
    newest = LatestCall()
    newest.submit(lambda: seen.append(1))
    began = time.monotonic()
    newest.close()
    assert time.monotonic() - began < 3
    assert seen == []
