"""C loops, compiled for this very machine when a model is laid out for generation."""

from __future__ import annotations

import ctypes
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_SOURCE = Path(__file__).with_name("compiled_forward.c")


@cache
def library() -> ctypes.CDLL | None:
    """The compiled loops; none where that is not possible.

    It takes half a second, and nothing is kept: a library that others could have put there is
    never loaded. Each call of a function of it lets other threads of Python run meanwhile.
    """
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    found = _compiled(compiler) if shutil.which(compiler[0]) else None
    if found is None:
        logging.getLogger(__name__).warning(
            "%s compiles nothing here, so PyTorch generates, some times slower; install a C "
            "compiler, or name one in CC",
            shlex.join(compiler),
        )
    return found


def _compiled(compiler: Sequence[str]) -> ctypes.CDLL | None:
    flags = [
        "-O3",
        "-march=native",
        "-ffp-contract=fast",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-pthread",
    ]
    if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2":  # narrower than the machine, as PyTorch
        flags.append("-mno-avx512f")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "compiled_forward.so"
        command = [*compiler, *flags, "-shared", "-fPIC", "-o", str(made), str(_SOURCE), "-lm"]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        try:
            found = ctypes.CDLL(str(made))
        except OSError:  # a folder from which nothing may be run
            return None
    pointer, number = ctypes.c_void_p, ctypes.c_long
    found.forward.argtypes = [
        *(pointer, number, pointer, pointer, pointer),
        *(number, pointer, number, pointer, pointer),
    ]
    found.forward.restype = None
    found.scratch.argtypes = [pointer, number, number]
    found.scratch.restype = number
    return found
