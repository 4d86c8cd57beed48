"""The loops of `compiled_forward.c`, compiled when a model is laid out for generation."""

from __future__ import annotations

import ctypes
import logging
import os
import shlex
from functools import cache
from pathlib import Path

from llm.machine_code import compiled, compiler

_SOURCE = Path(__file__).with_name("compiled_forward.c")


@cache
def library() -> ctypes.CDLL | None:
    """The compiled loops; none where that is not possible."""
    flags = ["-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-pthread"]
    if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2":  # narrower than the machine, as PyTorch
        flags.append("-mno-avx512f")
    found = compiled(_SOURCE, flags)
    if found is None:
        logging.getLogger(__name__).warning(
            "%s compiles nothing here, so PyTorch generates, some times slower; install a C "
            "compiler, or name one in CC",
            shlex.join(compiler()),
        )
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
