"""Functions written in C, compiled for this very machine when they are needed."""

from __future__ import annotations

import ctypes
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


def compiled(
    source: Path, flags: Sequence[str], without: str, libraries: Sequence[str] = ()
) -> ctypes.CDLL | None:
    """The functions of a C file, by the compiler that CC names, else `cc`; none, and a warning,
    where it compiles nothing or what it made cannot be loaded.

    Nothing is kept: a library that others could have put there is never loaded. A call of a
    function of it lets other threads of Python run meanwhile.

    Args:
        without: what happens then, for the warning.
    """
    found = _compiled(source, flags, libraries)
    if found is None:
        logging.getLogger(__name__).warning(
            "%s compiles nothing here, so %s; install a C compiler, or name one in CC",
            shlex.join(compiler()),
            without,
        )
    return found


def compiler() -> list[str]:
    """The command of the compiler: what CC names, else `cc`."""
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def compiles() -> bool:
    """Whether it makes something here that can be loaded."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "nothing.c"
        source.write_text("int nothing(void) { return 0; }\n", encoding="utf-8")
        return _compiled(source, (), ()) is not None


def _compiled(source: Path, flags: Sequence[str], libraries: Sequence[str]) -> ctypes.CDLL | None:
    command = compiler()
    if shutil.which(command[0]) is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"{source.stem}.so"
        command += [*flags, "-shared", "-fPIC", "-o", str(made), str(source), *libraries]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        try:
            return ctypes.CDLL(str(made))
        except OSError:  # a folder from which nothing may be run
            return None
