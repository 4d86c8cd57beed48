"""Programs that nobody has read: what they may do, and what becomes of those that do more."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from llm.process import system_calls
from llm.process.confined import ConfinementError, Ended, run_confined

MEMORY = 256 << 20


def ended(program: str, seconds: float = 10.0) -> Ended:
    try:
        return run_confined(program, seconds, MEMORY)
    except ConfinementError as lacking:
        pytest.skip(str(lacking))


def test_a_program_comes_to_its_end() -> None:
    assert ended("import json, threading\nprint(json.dumps([1]))") == Ended("done", "")
    threads = "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()"
    assert ended(threads).fate == "done"


@pytest.mark.parametrize(
    ("program", "detail"),
    [
        ("assert 1 + 1 == 3, 'sum'", "AssertionError: sum"),
        ("def (", "SyntaxError"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import os; os._exit(0)", "left before its end"),
        ("import numpy", "ModuleNotFoundError"),
        ("x = bytearray(1 << 30)", "MemoryError"),
        ("import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))", "Error"),
    ],
)
def test_a_program_fails(program: str, detail: str) -> None:
    found = ended(program)
    assert found.fate == "failed"
    assert detail in found.detail


@pytest.mark.parametrize(
    "program",
    [
        "import os; os.fork()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.execv('/bin/true', ['true'])",
        "import socket; socket.socket()",
        "import os; os.kill(os.getppid(), 0)",
        "import multiprocessing as m; m.get_context('fork').Process(target=print).start()",
    ],
)
def test_a_program_that_reaches_outside_is_ended(program: str) -> None:
    assert ended(program).fate == "forbidden"


def test_files_are_written_in_its_folder_alone(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("as it was")
    kept.chmod(0o600)
    for attempt in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"open({str(kept)!r}, 'a')",
        f"import os; os.truncate({str(kept)!r}, 0)",
        f"import os; os.open({str(kept)!r}, os.O_RDONLY | os.O_TRUNC)",
        f"import os; os.remove({str(kept)!r})",
        f"import os; os.rename({str(kept)!r}, 'mine')",
        f"import os; os.mkdir({str(tmp_path / 'folder')!r})",
        f"import os; os.chmod({str(kept)!r}, 0o777)",
        f"import os; os.utime({str(kept)!r}, (0, 0))",
    ):
        found = ended(attempt)
        assert found.fate == "failed", attempt
        assert "PermissionError" in found.detail or "OSError" in found.detail, attempt
    assert kept.read_text() == "as it was"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [kept]
    own = "open('mine', 'w').write('x')\nassert open('mine').read() == 'x'"
    assert ended(own).fate == "done"


def test_a_program_that_sleeps_or_spins_is_ended() -> None:
    for program in ("import time; time.sleep(60)", "while True: pass"):
        began = time.monotonic()
        assert ended(program, 1.0) == Ended("timeout", "no end within 1 s")
        assert time.monotonic() - began < 10


def test_one_that_talks_without_end() -> None:
    program = "import os\nwhile True: os.write(2, b'x' * 65536)"
    assert ended(program, 1.0).fate == "timeout"


def test_it_has_no_environment_and_leaves_nothing(tmp_path: Path) -> None:
    program = "import os\nassert dict(os.environ).keys() <= {'LC_CTYPE'}, os.environ\n"
    assert ended(f"{program}open('left', 'w')").fate == "done"


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "asm-generic/unistd.h")],
)
def test_numbers_of_system_calls_are_the_kernel_s(machine: str, header: str) -> None:
    path = Path("/usr/include", header)
    if not path.exists():
        pytest.skip(f"{path} is not here to compare the numbers with")
    text = path.read_text()
    found = {name: int(number) for name, number in re.findall(r"__NR_(\w+) (\d+)\n", text)}
    numbers = system_calls._NUMBERS[machine] | system_calls._EVERYWHERE
    known = numbers.keys() & found.keys()  # headers may be older than calls
    assert len(known) > 40
    assert {name: found[name] for name in known} == {name: numbers[name] for name in known}
