"""In the confined process: give up rights, then run the program that comes on standard input.

Started as a script in an interpreter without site-packages (`-I -S -B`), beside `system_calls.py`.
First on standard input comes a line of JSON: limits, and the word that says the program came to its
end. That word is written to standard output behind the program, and nothing else is.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import platform
import resource
import sys
from pathlib import Path

# Exit codes for the parent: what it asked for cannot be had; the program ended otherwise than well.
UNAVAILABLE, FAILED = 97, 98
# prctl(2), landlock(7).
_PDEATHSIG, _NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 1, 38, 22, 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _VERSION, _BENEATH = 444, 445, 446, 1, 1
_LANDLOCK_WITH_TRUNCATE = 3  # its version; earlier ones let files be emptied
# Rights to a file system, all but those to read and to execute: bits 1 and 4 to 14.
_WRITES = 1 << 1 | sum(1 << bit for bit in range(4, 15))
_SIGKILL = 9


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def _unavailable(why: str) -> None:
    sys.stderr.write(why)
    sys.stderr.flush()
    os._exit(UNAVAILABLE)


def _limit(limits: dict[str, int]) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["files"]),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _only_write_beneath(libc: ctypes.CDLL, folder: str) -> None:
    """Landlock: files are made, changed and removed in a folder alone."""
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if version < _LANDLOCK_WITH_TRUNCATE:
        _unavailable("Landlock, which keeps files from being written; Linux has it from 6.2 on")
    handled = ctypes.c_uint64(_WRITES)
    rules = libc.syscall(_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    beneath = ctypes.create_string_buffer(
        _WRITES.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder), 12
    )
    added = libc.syscall(_ADD_RULE, rules, _BENEATH, beneath, 0)
    if rules < 0 or added or libc.syscall(_RESTRICT_SELF, rules, 0):
        _unavailable("Landlock: the kernel has it and refuses to use it")
    os.close(place)
    os.close(rules)


def _filter_calls(libc: ctypes.CDLL, instructions: bytes) -> None:
    program = _Program(len(instructions) // 8, instructions)
    if libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0):
        _unavailable("seccomp filters, which keep programs from starting others")


def _call_filter() -> bytes:
    """Of `system_calls.py` beside this file, which is no package here."""
    place = Path(__file__).with_name("system_calls.py")
    spec = importlib.util.spec_from_file_location("system_calls", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if platform.machine() not in module.machines():
        _unavailable(f"a filter of system calls for {platform.machine()}")
    found: bytes = module.call_filter(platform.machine())
    return found


def main() -> None:
    """Never returns."""
    told = json.loads(sys.stdin.buffer.readline())
    program = sys.stdin.buffer.read().decode("utf-8", "replace")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PDEATHSIG, _SIGKILL, 0, 0, 0)
    instructions = _call_filter()
    answer = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    _limit(told["limits"])
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        _unavailable("the right to give up rights (no_new_privs)")
    _only_write_beneath(libc, str(Path.cwd()))
    _filter_calls(libc, instructions)
    try:
        exec(compile(program, "program", "exec"), {"__name__": "__main__"})
    except BaseException as error:  # noqa: BLE001 - whatever it raises, it did not come to its end
        sys.stderr.write(f"{type(error).__name__}: {error}"[:1000])
        sys.stderr.flush()
        os._exit(FAILED)
    os.write(answer, told["word"].encode())
    os._exit(0)


if __name__ == "__main__":
    main()
