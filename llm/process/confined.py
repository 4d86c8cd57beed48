"""Run a Python program that nobody has read, such as one a model wrote.

It gets an interpreter of its own with the standard library alone, no environment, and a folder that
is removed afterwards. Resource limits bound its time, memory and files. The kernel keeps it from
starting processes, opening sockets, sending signals (seccomp) and writing to any file outside its
folder (Landlock). It may read what this user may read.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm.errors import ExpectedError
from llm.process.confined_child import FAILED, UNAVAILABLE

Fate = Literal["done", "failed", "timeout", "forbidden", "killed"]
_CHILD = Path(__file__).with_name("confined_child.py")
_FILE_BYTES, _FILES = 16 << 20, 64
_TOLD_BYTES = 4096  # of what it says, kept


class ConfinementError(ExpectedError, RuntimeError):
    """This machine cannot confine a program; says what it lacks."""


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        fate: "done": it came to its end; "failed": it raised, or left earlier; "timeout";
            "forbidden": it asked the kernel for what it may not have; "killed" by a signal else.
        detail: what it raised, or the signal.
    """

    fate: Fate
    detail: str


def run_confined(program: str, seconds: float, memory_bytes: int) -> Ended:
    """Run a program to its end, or until it has taken `seconds`.

    A program that asks for more than `memory_bytes` of address space gets a MemoryError.

    Raises:
        ConfinementError: the kernel lacks what this needs (Linux 6.2, x86_64 or aarch64).
    """
    if sys.platform != "linux":
        raise ConfinementError(f"programs are confined on Linux alone, this is {sys.platform}")
    word = secrets.token_hex(16)
    limits = {
        "memory_bytes": memory_bytes,
        "cpu_seconds": int(seconds) + 1,
        "file_bytes": _FILE_BYTES,
        "files": _FILES,
    }
    head = json.dumps({"limits": limits, "word": word}).encode() + b"\n"
    with (
        tempfile.TemporaryDirectory(prefix="ingot-program-") as folder,
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={},
            start_new_session=True,
        ) as process,
    ):
        try:
            said, in_time = _talk(process, head + program.encode(), seconds)
        finally:
            process.kill()
    return _ended(process.returncode, said, in_time, word, seconds)


def _talk(
    process: subprocess.Popen[bytes], told: bytes, seconds: float
) -> tuple[list[bytes], bool]:
    """Hand the program over; the first bytes of both outputs, and whether it ended in time."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    ends = time.monotonic() + seconds
    said = [b"", b""]
    with selectors.DefaultSelector() as ready:
        os.set_blocking(process.stdin.fileno(), False)
        ready.register(process.stdin, selectors.EVENT_WRITE)
        ready.register(process.stdout, selectors.EVENT_READ, 0)
        ready.register(process.stderr, selectors.EVENT_READ, 1)
        while ready.get_map():
            left = ends - time.monotonic()
            if left <= 0:
                return said, False
            for key, _ in ready.select(left):
                if key.fileobj is process.stdin:
                    try:
                        told = told[os.write(key.fd, told) :]
                    except BrokenPipeError:
                        told = b""
                    if not told:
                        ready.unregister(process.stdin)
                        process.stdin.close()
                    continue
                found = os.read(key.fd, _TOLD_BYTES)
                said[key.data] = (said[key.data] + found)[:_TOLD_BYTES]
                if not found:
                    ready.unregister(key.fileobj)
    try:
        process.wait(max(0.0, ends - time.monotonic()))
    except subprocess.TimeoutExpired:
        return said, False
    return said, True


def _ended(code: int, said: list[bytes], in_time: bool, word: str, seconds: float) -> Ended:
    complaint = said[1].decode("utf-8", "replace")
    if code == UNAVAILABLE:
        raise ConfinementError(
            f"this machine cannot confine programs: it lacks {complaint}. Leave the reward of kind "
            "code out, or train on a machine that has it"
        )
    if not in_time or code == -signal.SIGXCPU:
        return Ended("timeout", f"no end within {seconds:g} s")
    if code == -signal.SIGSYS:
        return Ended("forbidden", "a process, a socket or a signal")
    if code == 0 and said[0] == word.encode():
        return Ended("done", "")
    if code in (0, FAILED):
        return Ended("failed", complaint or "left before its end")
    if code > 0:
        return Ended("failed", complaint or f"exit code {code}")
    return Ended("killed", signal.Signals(-code).name)
