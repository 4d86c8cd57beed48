"""C loops, compiled for this very machine when a model is laid out for generation."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

from llm.c_library import compiled

_SOURCE = Path(__file__).with_name("compiled_forward.c")


@cache
def library() -> ctypes.CDLL | None:
    """The compiled loops; none where that is not possible.

    It takes half a second, once on a machine.
    """
    found = compiled(_SOURCE, _flags(), "PyTorch generates, some times slower", ["-lm"])
    if found is None:
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


def _flags() -> list[str]:
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
    return flags
