"""C loops, compiled for the machine they run on when they are first asked for."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


def compiler() -> list[str]:
    """The command that compiles C: `CC` as make takes it, else `cc`."""
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def compiled(source: Path, flags: Sequence[str]) -> ctypes.CDLL | None:
    """A C file as a loaded library; none where nothing can be compiled, or loaded.

    It takes about half a second, and nothing is kept: a library that others could have put there
    is never loaded. Each call of a function of it lets other threads of Python run meanwhile.

    Args:
        flags: besides those for speed and for a library.
    """
    command = compiler()
    if not shutil.which(command[0]):
        return None
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"{source.stem}.so"
        command += ["-O3", "-march=native", *flags, "-shared", "-fPIC", "-o", str(made)]
        command += [str(source), "-lm"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        try:
            return ctypes.CDLL(str(made))
        except OSError:  # a folder from which nothing may be run
            return None
