"""A child runs functions by name, survives their errors and does not survive its parent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from llm.process.child import (
    Child,
    ChildClosedError,
    ChildCrashedError,
    ChildFailedError,
    ChildTimeoutError,
)
from tests.processes import has_ended

WORK = "tests.llm.process.child_work"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def child() -> Iterator[Child]:
    with Child({**os.environ, "PYTHONPATH": "", "INGOT_TEST": "seen"}) as running:
        yield running


@pytest.fixture(autouse=True)
def _modules_of_tests_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def _wait_for(condition: object, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False


def test_runs_in_one_process_of_its_own(child: Child) -> None:
    assert child.pid is None
    assert child.rss_bytes() == 0
    assert child.call(f"{WORK}:add", 2, right=3) == 5
    pid = child.call("os:getpid")
    assert pid == child.pid != os.getpid()
    assert child.call("os:getppid") == os.getpid()
    assert child.call("os:getpid") == pid
    assert child.rss_bytes() > 1_000_000
    assert child.call("os:getenv", "INGOT_TEST") == "seen"
    assert child.call("pathlib:Path.cwd") == Path.cwd()


def test_large_arguments_and_results_cross_whole(child: Child) -> None:
    block = os.urandom(1 << 20) * 9
    assert child.call("builtins:bytes", block) == block


def test_prints_do_not_mix_with_results(child: Child, capfd: pytest.CaptureFixture[str]) -> None:
    assert child.call(f"{WORK}:chatter", "hello") == "hello"
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("hello") == 2
    assert "from a grandchild" in err


def test_exceptions_come_back_and_the_process_lives_on(child: Child) -> None:
    pid = child.call("os:getpid")
    with pytest.raises(ChildFailedError) as failed:
        child.call("math:sqrt", -1)
    assert (failed.value.type_name, failed.value.message) == ("ValueError", "math domain error")
    assert "Traceback" in failed.value.traceback_text
    for function, kind in [
        ("no_such_module:f", "ModuleNotFoundError"),
        ("math:no_such_function", "AttributeError"),
        (f"{WORK}:leave", "SystemExit"),
    ]:
        with pytest.raises(ChildFailedError) as failed:
            child.call(function)
        assert failed.value.type_name == kind
    with pytest.raises(ChildFailedError, match="lambda"):
        child.call(f"{WORK}:unpicklable")
    assert child.call("os:getpid") == pid


def test_an_error_that_says_it_all_brings_no_traceback(child: Child) -> None:
    with pytest.raises(ChildFailedError) as failed:
        child.call(f"{WORK}:expected")
    assert failed.value.traceback_text == ""
    assert str(failed.value) == f"{WORK}:expected: ExpectedError: no such page; name another"


@pytest.mark.parametrize(
    ("function", "argument", "returncode", "cause"),
    [("os:_exit", 3, 3, "exit code 3"), ("signal:raise_signal", 11, -11, "SIGSEGV")],
)
def test_a_crash_names_its_cause_and_the_next_call_has_a_new_process(
    child: Child, function: str, argument: int, returncode: int, cause: str
) -> None:
    pid = child.call("os:getpid")
    with pytest.raises(ChildCrashedError, match=cause) as crashed:
        child.call(function, argument)
    assert crashed.value.returncode == returncode
    assert child.call("os:getpid") != pid


def test_a_deadline_kills_even_a_call_that_holds_the_interpreter_lock(
    child: Child, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    child.call(f"{WORK}:add", 1)
    with pytest.raises(ChildTimeoutError, match=r"0\.5 s"):
        child.call(f"{WORK}:pid_then_hang", str(file), timeout=0.5)
    assert has_ended(int(file.read_text()))
    assert child.call(f"{WORK}:add", 1, timeout=30) == 1


def test_close_ends_the_process_and_the_next_call_starts_another(child: Child) -> None:
    pid = child.call("os:getpid")
    child.close()
    assert child.pid is None
    assert has_ended(pid)
    assert child.call("os:getpid") != pid


def test_kill_from_another_thread_ends_the_call_for_good(child: Child, tmp_path: Path) -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            child.call(f"{WORK}:pid_then_hang", str(tmp_path / "pid"))
        except ChildCrashedError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert _wait_for((tmp_path / "pid").exists, 30)
    child.kill()
    thread.join(5)
    assert not thread.is_alive()
    assert isinstance(caught[0], ChildClosedError)
    with pytest.raises(ChildClosedError):
        child.call("os:getpid")


def test_a_process_killed_between_calls_is_replaced(child: Child) -> None:
    pid = child.call("os:getpid")
    psutil.Process(pid).kill()
    assert _wait_for(lambda: has_ended(pid), 5)
    time.sleep(0.2)  # a process is waited for only when its last thread is gone
    assert child.call("os:getpid") != pid


@pytest.mark.parametrize("function", ["pid_then_hang", "pid_then_sleep", "nested"])
def test_no_child_outlives_a_killed_parent(function: str, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from llm.process.child import Child; "
            f"Child(None).call('{WORK}:{function}', {str(file)!r})",
        ],
        cwd=ROOT,
    )
    assert _wait_for(lambda: file.exists() and file.read_text().strip(), 60)
    children = psutil.Process(parent.pid).children(recursive=True)
    assert int(file.read_text()) in {process.pid for process in children}
    parent.kill()
    parent.wait()
    assert _wait_for(lambda: all(has_ended(process.pid) for process in children), 2)
