"""One bad item costs that item, whatever it does to its process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from llm.process.child import ChildCrashedError, ChildFailedError
from llm.process.sandbox import Failure, Sandbox, batches

FUNCTION = "tests.llm.process.child_work:crash_on"


@pytest.fixture(autouse=True)
def _modules_of_tests_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))


def _run(items: list[str], log: Path, deadline: float = 30) -> list[str | Failure]:
    sandbox: Sandbox[str, str]
    with Sandbox(FUNCTION, ("bad", str(log)), deadline, 4 << 30, 1 << 40) as sandbox:
        return sandbox.run(items)


def test_a_crashing_item_is_found_tried_twice_alone_and_given_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    results = _run(["a", "bad", "b", "c"], log)
    assert results[0] == "A"
    assert isinstance(results[1], Failure)
    assert (results[1].reason, "SIGABRT" in results[1].detail) == ("crashed", True)
    assert results[2:] == ["B", "C"]
    tries = [line.split()[0] for line in log.read_text().splitlines() if line.endswith(" bad")]
    assert len(tries) == 3  # in the batch, alone, alone in a fresh process
    assert tries[1] != tries[2]
    last = [line.split()[1] for line in log.read_text().splitlines() if line.startswith(tries[2])]
    assert last == ["bad"]


def test_an_item_that_crashes_only_once_is_kept(tmp_path: Path) -> None:
    assert _run(["a", "once", "b"], tmp_path / "log") == ["A", "ONCE", "B"]


def test_an_item_that_never_ends_is_a_timeout(tmp_path: Path) -> None:
    results = _run(["a", "hang", "b"], tmp_path / "log", deadline=1)
    assert [results[0], results[2]] == ["A", "B"]
    assert isinstance(results[1], Failure)
    assert results[1].reason == "timeout"


def test_a_fault_of_the_function_itself_is_not_hidden(tmp_path: Path) -> None:
    sandbox: Sandbox[str, str]
    with (
        Sandbox("tests.llm.process.child_work:no_such", (), 30, 4 << 30, 1 << 40) as sandbox,
        pytest.raises(ChildFailedError, match="no_such"),
    ):
        sandbox.run(["a"])


@pytest.mark.skipif(sys.platform != "linux", reason="address space is bounded on Linux only")
def test_memory_is_bounded(tmp_path: Path) -> None:
    sandbox: Sandbox[int, bytes]
    with (
        Sandbox("builtins:bytes", (), 30, 1 << 30, 1 << 40) as sandbox,
        pytest.raises(ChildFailedError, match="MemoryError"),
    ):
        sandbox.run(2 << 30)  # type: ignore[arg-type]


def test_a_process_that_has_grown_is_replaced(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sandbox: Sandbox[str, str]
    with Sandbox(FUNCTION, ("bad", str(log)), 30, 4 << 30, 1) as sandbox:
        assert sandbox.run(["a"]) + sandbox.run(["b"]) == ["A", "B"]
    assert len({line.split()[0] for line in log.read_text().splitlines()}) == 2


def test_batches_keep_order_and_bounds() -> None:
    sizes = [5, 5, 30, 1, 1, 1, 1]
    assert list(batches(sizes, int, 3, 10)) == [[5, 5], [30], [1, 1, 1], [1]]
    assert list(batches([], int, 3, 10)) == []


def test_what_is_loaded_first_is_no_matter_of_the_items(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sandbox: Sandbox[str, str]
    with Sandbox(FUNCTION, ("bad", str(log)), 30, None, None) as sandbox:
        sandbox.prepare(["load"], 30)
        assert sandbox.run(["a"]) == ["A"]
        assert isinstance(sandbox.run(["bad"])[0], Failure)
        assert sandbox.run(["b"]) == ["B"]
    first: dict[str, str] = {}
    for line in log.read_text().splitlines():
        first.setdefault(*line.split())
    assert len(first) == 4  # one more for each of the three deaths
    assert set(first.values()) == {"load"}
    with (
        Sandbox(FUNCTION, ("bad", str(log)), 30, None, None) as sandbox,
        pytest.raises(ChildCrashedError),
    ):
        sandbox.prepare(["bad"], 30)
