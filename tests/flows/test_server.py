"""Whose server it is, and how long it is waited for; the servers are stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import HTTPServer
from pathlib import Path

import pytest

from flows import processes, server
from tasks.engine.store import process_identity
from tests.flows.stand_in_server import Healthy
from tests.network_record import without_network

STAND_IN = Path(__file__).with_name("stand_in_server.py")
# A range of ports of its own: real servers of other tests start at 4200.
FIRST_PORT = 4520
TWO_AT_ONCE = """
import sys
from flows import server
server._FIRST_PORT = {first}
server.command = lambda port: [sys.executable, {script!r}, str(port), "2", "busy"]
print(server.ensure_server()[0])
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    # Set, so that what `ensure_server` sets is undone, then as in a fresh shell.
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setattr(server, "_FIRST_PORT", FIRST_PORT)
    yield tmp_path
    processes.stop_all()


@pytest.fixture
def foreign() -> Iterator[int]:
    """The port of a healthy server that is not ours."""
    served = HTTPServer(("127.0.0.1", processes.free_port(FIRST_PORT)), Healthy)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield served.server_port
    served.shutdown()
    served.server_close()


def stands_in(monkeypatch: pytest.MonkeyPatch, delay: float = 0.0, busy: bool = True) -> None:
    words = [str(delay), "busy" if busy else "idle"]
    monkeypatch.setattr(
        server, "command", lambda port: [sys.executable, str(STAND_IN), str(port), *words]
    )


def owner(url: str) -> int:
    port = int(url.split(":")[2].split("/")[0])
    record = processes.find_process("server")
    assert record is not None
    assert processes.listens(record, port)
    return port


def test_a_port_lost_to_another_server_is_not_talked_to(
    foreign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(monkeypatch)
    asked: list[int] = []

    def free(first: int) -> int:
        asked.append(first)
        # As if the foreign server had come up between the look and the start.
        return foreign if len(asked) == 1 else processes.free_port(first)

    monkeypatch.setattr(server, "free_port", free)
    url, started = server.ensure_server()
    assert started
    assert owner(url) > foreign
    assert server.healthy(server.address(foreign)), "the other server is left alone"


def test_a_living_process_is_no_proof_where_another_is_served(home: Path, foreign: int) -> None:
    others = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        record = {**process_identity.identify(others.pid), "port": foreign}
        (home / "prefect").mkdir()
        (home / "prefect" / "server.json").write_text(json.dumps(record))
        assert server.find_server() is None
        record = {**process_identity.identify(), "port": foreign}
        (home / "prefect" / "server.json").write_text(json.dumps(record))
        assert server.find_server() == server.address(foreign)
    finally:
        (home / "prefect" / "server.json").unlink()
        others.kill()
        others.wait()


def test_a_port_that_was_taken_for_a_moment_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = processes.free_port(FIRST_PORT)
    words = ["0.0", "busy", str(first)]
    monkeypatch.setattr(
        server, "command", lambda port: [sys.executable, str(STAND_IN), str(port), *words]
    )
    url, started = server.ensure_server()
    assert started
    assert owner(url) > first


def test_two_homes_at_the_same_moment_get_a_server_each(tmp_path: Path) -> None:
    program = TWO_AT_ONCE.format(first=FIRST_PORT, script=str(STAND_IN))
    homes = [tmp_path / "one", tmp_path / "two"]
    # Of both homes the first two commands: each home starts one server, not two.
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "INGOT_HOME": str(home), "PREFECT_API_URL": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        for home in [*homes, *homes]
    ]
    urls = [process.communicate(timeout=120)[0].strip() for process in started]
    assert urls[:2] == urls[2:]
    assert urls[0] != urls[1]
    for home, url in zip(homes, urls, strict=False):
        record = json.loads((home / "prefect" / "server.json").read_text())
        assert server.address(record["port"]) == url
        assert processes.listens(record, record["port"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INGOT_HOME", str(homes[0]))
        assert processes.stop_all() == ["server"]
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(f"{urls[0]}/health", timeout=5)
        assert server.healthy(urls[1]), "stopping one home leaves the other alone"
        patch.setenv("INGOT_HOME", str(homes[1]))
        assert processes.stop_all() == ["server"]


def test_a_slow_start_is_waited_for_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_SAY_SECONDS", 0.5)
    monkeypatch.setattr(server, "_STUCK_SECONDS", 1.5)
    stands_in(monkeypatch, delay=4)
    said: list[str] = []
    url, _ = server.ensure_server(said.append)
    owner(url)
    assert len(said) >= 2
    assert "still starting" in said[0]


def test_a_server_that_hangs_is_stopped_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_STUCK_SECONDS", 1.5)
    stands_in(monkeypatch, delay=600, busy=False)
    with pytest.raises(server.ServerError, match="neither answered nor done anything"):
        server.ensure_server()
    assert processes.find_process("server") is None


def test_its_own_death_is_told_at_once_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        server,
        "command",
        lambda port: [sys.executable, "-c", "raise SystemExit('no module named kettle')"],
    )
    began = time.monotonic()
    with pytest.raises(server.ServerError, match=r"server\.log ends:\nno module named kettle"):
        server.ensure_server()
    assert time.monotonic() - began < 30


def test_one_that_is_slow_to_answer_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    stands_in(monkeypatch)
    url, _ = server.ensure_server()
    port = owner(url)
    monkeypatch.delenv("PREFECT_API_URL")
    answers = iter([False, False, True])
    monkeypatch.setattr(server, "healthy", lambda url: next(answers))
    before = processes.find_process("server")
    assert server.ensure_server()[0] == server.address(port)
    assert processes.find_process("server") == before


def test_one_in_another_network_namespace_is_told_and_left_alone(home: Path) -> None:
    before = without_network()
    if before is None:
        pytest.skip("this machine permits no network namespaces")
    elsewhere = subprocess.Popen([*before, "sleep", "120"])
    try:
        here = Path("/proc/self/ns/net").readlink()
        deadline = time.monotonic() + 10
        while Path(f"/proc/{elsewhere.pid}/ns/net").readlink() == here:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (home / "prefect").mkdir()
        record = {**process_identity.identify(elsewhere.pid), "port": FIRST_PORT}
        (home / "prefect" / "server.json").write_text(json.dumps(record))
        with pytest.raises(
            server.OutOfReachError,
            match=rf"process {elsewhere.pid}, port {FIRST_PORT}\).*another network.*`ingot down`",
        ):
            server.ensure_server()
        assert elsewhere.poll() is None
        assert processes.find_process("server") == record
    finally:
        (home / "prefect" / "server.json").unlink(missing_ok=True)
        elsewhere.kill()
        elsewhere.wait()
