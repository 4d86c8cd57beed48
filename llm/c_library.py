"""Functions written in C, compiled for this very machine when they are needed."""

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
    """The command named in CC, else `cc`."""
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def compiled(
    source: Path, flags: Sequence[str], libraries: Sequence[str] = ()
) -> ctypes.CDLL | None:
    """The functions of a C file; none where it cannot be compiled or what came out not be loaded.

    Nothing is kept: a library that others could have put there is never loaded. Each call of a
    function of it lets other threads of Python run meanwhile.
    """
    command = compiler()
    if shutil.which(command[0]) is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"{source.stem}.so"
        run = [*command, *flags, "-shared", "-fPIC", "-o", str(made), str(source), *libraries]
        if subprocess.run(run, capture_output=True, check=False).returncode:
            return None
        try:
            return ctypes.CDLL(str(made))
        except OSError:  # a folder from which nothing may be run
            return None
