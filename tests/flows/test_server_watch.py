"""A server looked after: started again when it died, let go when it was stopped."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import processes, server, server_watch
from tasks.best_effort import SERVER_AWAY
from tests.flows.test_server import STAND_IN

# Of its own: the files run side by side, and a port that is free for a moment is taken.
FIRST_PORT = 4620


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A stand-in server of this home, up."""
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setattr(server, "_FIRST_PORT", FIRST_PORT)
    monkeypatch.setattr(
        server, "command", lambda port: [sys.executable, str(STAND_IN), str(port), "0", "busy"]
    )
    yield server.ensure_server()[0]
    SERVER_AWAY.clear()
    processes.stop_all()


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill() -> int:
    record = processes.find_process("server")
    assert record is not None
    for member in processes.family(record):
        member.kill()
    return int(record["pid"])


def test_one_that_died_is_started_again_on_its_port(url: str) -> None:
    said: list[str] = []
    with server_watch.watching(said.append) as watched:
        assert watched is not None
        pid = kill()
        assert watched.wait_until_answering(), "waited for as long as it is being started"
        record = processes.find_process("server")
        assert record is not None
        assert record["pid"] != pid
        assert server.address(record["port"]) == url
        eventually(lambda: len(said) == 2)
    assert said == [
        "the Prefect server died; it is started again, the run goes on",
        "the Prefect server is back",
    ]
    assert not SERVER_AWAY.is_set()


def test_one_that_was_stopped_stays_so_and_nobody_else_hears_of_the_run(url: str) -> None:
    said: list[str] = []
    port = int(url.split(":")[2].split("/")[0])
    with server_watch.watching(said.append) as watched:
        assert watched is not None
        processes.stop_process("server")
        eventually(SERVER_AWAY.is_set)
        assert not watched.wait_until_answering()
        # Held, so that another home's server cannot take it and be told of this run.
        eventually(lambda: processes.free_port(port) != port)
        assert not server.healthy(url)
    assert said == ["the Prefect server was stopped; the run goes on without it"]
    eventually(lambda: processes.free_port(port) == port)


def test_one_that_is_stopped_by_a_signal_is_done_without_at_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    record = processes.find_process("server")
    assert record is not None
    with server_watch.watching(said.append) as watched:
        assert watched is not None
        began = time.monotonic()
        for member in processes.family(record):
            member.suspend()
        eventually(SERVER_AWAY.is_set)
        assert time.monotonic() - began < 10, "within seconds"
        for member in processes.family(record):
            member.resume()
        eventually(lambda: not SERVER_AWAY.is_set())
        assert watched.wait_until_answering()
        eventually(lambda: len(said) == 2)
    assert said == [
        f"the Prefect server at {url} is away; the run goes on without it",
        "the Prefect server is back",
    ]
    assert processes.find_process("server") == record


def test_one_that_hangs_is_started_again_and_waited_for(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(server_watch, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(server_watch, "_HUNG_SECONDS", 3.0)
    record = processes.find_process("server")
    assert record is not None
    with server_watch.watching(said.append) as watched:
        assert watched is not None
        for member in processes.family(record):
            member.suspend()
        eventually(SERVER_AWAY.is_set)
        eventually(lambda: watched._idle_seconds() > 1)
        assert watched.wait_until_answering(), "the end of a run waits for it"
        eventually(lambda: len(said) == 4)
    assert said == [
        f"the Prefect server at {url} is away; the run goes on without it",
        f"the Prefect server (process {record['pid']}) hangs and is ended",
        "the Prefect server died; it is started again, the run goes on",
        "the Prefect server is back",
    ]
    after = processes.find_process("server")
    assert after is not None
    assert after["pid"] != record["pid"]


def test_one_that_works_and_does_not_answer_is_let_go_until_it_does(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    answers = threading.Event()
    monkeypatch.setattr(server_watch, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(server_watch, "_HUNG_SECONDS", 0.5)
    monkeypatch.setattr(server_watch, "healthy", lambda url: answers.is_set())
    monkeypatch.setattr(server_watch, "work", lambda record: time.monotonic())
    record = processes.find_process("server")
    with server_watch.watching(said.append) as watched:
        assert watched is not None
        eventually(SERVER_AWAY.is_set)
        time.sleep(1)
        assert not watched.wait_until_answering(), "nor is it waited for at the end"
        answers.set()
        eventually(lambda: not SERVER_AWAY.is_set())
    assert said == [
        f"the Prefect server at {url} is away; the run goes on without it",
        "the Prefect server is back",
    ]
    assert processes.find_process("server") == record


def test_a_watch_within_another_is_the_same_one(url: str) -> None:
    outer: list[str] = []
    inner: list[str] = []
    with server_watch.watching(outer.append, "the run waits for it") as one:
        with server_watch.watching(inner.append) as two:
            assert one is two
            assert two is not None
            two.say(two.meanwhile)
        assert one is not None
        one.say(one.meanwhile)
    assert (outer, inner) == (["the run waits for it"], ["the run goes on without it"])


def test_one_that_dies_after_it_hung_is_started_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_watch, "_LOOK_SECONDS", 0.1)
    record = processes.find_process("server")
    assert record is not None
    with server_watch.watching(lambda line: None) as watched:
        assert watched is not None
        for member in processes.family(record):
            member.suspend()
        eventually(SERVER_AWAY.is_set)
        kill()
        eventually(lambda: not SERVER_AWAY.is_set())
        assert watched.wait_until_answering()
    assert processes.find_process("server") != record


def test_a_port_is_held_as_soon_as_it_is_free() -> None:
    port, until = processes.free_port(FIRST_PORT), threading.Event()
    holding = threading.Thread(target=server_watch._hold, args=(port, until))
    with socket.socket() as stopping:
        stopping.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stopping.bind(("127.0.0.1", port))
        stopping.listen()
        holding.start()
        time.sleep(1.5 * server_watch._LOOK_SECONDS)
        assert holding.is_alive()
    eventually(lambda: hung_up_on(port))
    until.set()
    holding.join(60)
    assert not holding.is_alive()


def hung_up_on(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as call:
            return call.recv(1) == b""
    except ConnectionError:
        return False


def test_an_answer_from_whoever_took_the_port_is_no_answer(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(url.split(":")[2].split("/")[0])
    said: list[str] = []
    monkeypatch.setattr(server_watch, "_LOOK_SECONDS", 3.0)
    with server_watch.watching(said.append) as watched:
        assert watched is not None
        kill()
        eventually(lambda: processes.free_port(port) == port)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
            assert not watched.wait_until_answering()
            eventually(lambda: len(said) == 2)
    assert said[1] == (
        f"the Prefect server is gone, and port {port} is taken by another process; "
        "the run goes on without it"
    )
