"""Functions the tests of llm/process/child.py run in a child."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from llm.errors import ExpectedError


def add(left: int, right: int = 0) -> int:
    return left + right


def chatter(text: str) -> str:
    """Write to file descriptor 1 in every way a library might."""
    print(text, flush=True)
    os.write(1, text.encode())
    subprocess.run([sys.executable, "-c", "print('from a grandchild')"], check=True)
    return text


def unpicklable() -> object:
    return lambda: None


def leave() -> None:
    sys.exit(7)


def pid_then_hang(file: str) -> None:
    """Write the process id, then hold the interpreter lock in one C call for minutes."""
    Path(file).write_text(str(os.getpid()))
    pow(3, 1_000_000_000)


def pid_then_sleep(file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    time.sleep(600)


def nested(file: str) -> None:
    """A child of the child that hangs: the sandbox of a worker."""
    from llm.process.child import Child

    Child(None).call("tests.llm.process.child_work:pid_then_hang", file)


def crash_on(items: list[str], bad: str, log: str) -> list[str]:
    """Upper-case each item; the process aborts on `bad`, hangs on "hang", and on "once" aborts
    only the first time (a file remembers)."""
    done = []
    for item in items:
        with Path(log).open("a") as stream:
            stream.write(f"{os.getpid()} {item}\n")
        if item == bad:
            os.abort()
        if item == "hang":
            time.sleep(600)
        if item == "once" and Path(log).read_text().count(" once") == 1:
            os.abort()
        done.append(item.upper())
    return done


def expected() -> None:
    raise ExpectedError("no such page; name another")
