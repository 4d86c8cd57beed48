"""Compiling a model block by block.

Embedding and loss stay outside: compiled as a whole, a model gave different results from run to
run on CPUs; block by block the results are equal, and equal after a resume.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from llm.events import log
from llm.model.transformer import Transformer


def compile_blocks(model: Transformer, cache: Path, device: torch.device) -> bool:
    """Compile the blocks in place, if this machine can; names of parameters stay.

    Args:
        cache: folder for compiled code, used again by the next start.

    Returns:
        Whether they are compiled; if not, a line says why.
    """
    if device.type == "mps":
        return False
    if device.type == "cpu" and not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        log("no C++ compiler on this machine: training runs uncompiled, at about half the speed")
        return False
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    for layer in model.model.layers:
        layer.compile(dynamic=False)
    return True
