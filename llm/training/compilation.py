"""Compiling a model block by block, and the softmax of its loss.

The rest stays outside: compiled as a whole, a model gave different results from run to run on
CPUs; block by block the results are equal, and equal after a resume.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import cast

import torch

from llm.model.transformer import Transformer
from llm.process.events import log
from llm.training import devices, loss

_SHAPES = 64


def compile_blocks(model: Transformer, cache: Path, device: torch.device) -> bool:
    """Compile the blocks in place, if this machine can; names of parameters stay.

    Args:
        cache: folder for compiled code, used again by the next start, where the environment names
            none (TORCHINDUCTOR_CACHE_DIR); each kind of machine has a folder of its own in it.

    Returns:
        Whether they are compiled; if not, a line says why.
    """
    if device.type == "mps":
        return False
    import torch._inductor.config  # compiles nothing yet, and takes a second
    from torch._dynamo.exc import TorchDynamoException

    choose_cache(cache, device)
    try:
        # A compiler, Python's headers or Triton may be missing; a sum of two numbers tells.
        torch.compile(torch.add)(*torch.ones(2, device=device))
    except TorchDynamoException as error:
        [reason, *_] = str(error).splitlines()
        log(f"nothing compiles on this machine, so training runs uncompiled, slower: {reason}")
        return False
    # Every length of a micro-batch is compiled for itself: halving it for want of memory, the
    # last piece of a batch and validation soon pass the limit of eight, and would run uncompiled.
    torch._dynamo.config.recompile_limit = _SHAPES
    # Otherwise the number of threads is compiled in.
    torch._inductor.config.cpp.dynamic_threads = True
    for layer in model.model.layers:
        layer.compile(dynamic=False)
    model.model.norm.compile(dynamic=False)
    return True


def choose_cache(cache: Path, device: torch.device) -> None:
    """Tell the compiler where to keep code; arguments as above."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    default, machine = default_cache_dir(), _machine(device)
    named = os.environ.get("TORCHINDUCTOR_CACHE_DIR", default)
    # Whoever imports the compiler sets that variable to its default: that is nobody's wish.
    folder = cache if named == default else Path(named)
    if " " in str(folder):  # where its command line for C++ is cut
        folder = Path(default)
    if folder.name != machine:  # else it is what was set here, maybe in the process that began this
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / machine)


def _machine(device: torch.device) -> str:
    """A name for what compiled code runs on.

    The compiler's cache takes code made for other vectors (of a wider CPU, or before
    ATEN_CPU_CAPABILITY was set) for its own: results are then wrong. A folder may be used by
    several machines, or move from one to another.
    """
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    known = (torch.__version__, torch.backends.cpu.get_cpu_capability(), devices.cpu_model(), gpu)
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]


def compiled_softmax() -> loss.Softmax:
    """`loss.softmax` in few passes over the logits; after `compile_blocks` said that it can."""
    return cast("loss.Softmax", torch.compile(loss.softmax, dynamic=False))
