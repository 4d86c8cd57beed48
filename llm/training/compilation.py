"""Compiling a model block by block, and the softmax of its loss.

The rest stays outside: compiled as a whole, a model gave different results from run to run on
CPUs; block by block the results are equal, and equal after a resume.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import torch

from llm.model.transformer import Transformer
from llm.process.events import log
from llm.training import loss

_SHAPES = 64


def compile_blocks(model: Transformer, cache: Path, device: torch.device) -> bool:
    """Compile the blocks in place, if this machine can; names of parameters stay.

    Args:
        cache: folder for compiled code, used again by the next start.

    Returns:
        Whether they are compiled; if not, a line says why.
    """
    if device.type == "mps":
        return False
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    # Here, not above: as it is imported it sets that variable where nobody has.
    import torch._inductor.config
    from torch._dynamo.exc import TorchDynamoException

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
    if device.type == "cuda":  # on a CPU a norm by itself is too little to gain
        model.model.norm.compile(dynamic=False)
    return True


def compiled_softmax() -> loss.Softmax:
    """`loss.softmax` as one pass over the logits; after `compile_blocks` said that it can."""
    return cast("loss.Softmax", torch.compile(loss.softmax, dynamic=False))
