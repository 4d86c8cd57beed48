"""How fast single parts of a step are: attention by backend, and the loss, forward and backward."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from llm.model.architecture import Architecture
from llm.training.compilation import compiled_softmax
from llm.training.loss import softmax, summed_loss

_BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


def timed(work: Callable[[], object], device: torch.device, rounds: int = 10) -> float:
    """Median milliseconds, after three rounds to warm up."""
    seconds = []
    for number in range(rounds + 3):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if number >= 3:
            seconds.append(time.perf_counter() - began)
    return round(1e3 * statistics.median(seconds), 3)


def attention(device: torch.device, a: Architecture, rows: int) -> dict[str, Any]:
    """Milliseconds of forward and backward; the reason where a backend refuses."""
    kind = torch.bfloat16 if device.type == "cuda" else torch.float32
    shape = (rows, a.context, a.heads, a.head_dim)
    narrow = (rows, a.context, a.key_value_heads, a.head_dim)
    q, k, v = (torch.randn(s, device=device, dtype=kind) for s in (shape, narrow, narrow))
    q, k, v = (x.transpose(1, 2).requires_grad_() for x in (q, k, v))
    found: dict[str, Any] = {}
    grouped = a.heads != a.key_value_heads
    for name, backend in _BACKENDS.items():
        for repeated in (False, True):

            def work(backend: SDPBackend = backend, repeated: bool = repeated) -> None:
                keys, values = k, v
                if repeated:
                    groups = a.heads // a.key_value_heads
                    keys = k.repeat_interleave(groups, dim=1)
                    values = v.repeat_interleave(groups, dim=1)
                with sdpa_kernel(backend):
                    out = F.scaled_dot_product_attention(
                        q, keys, values, is_causal=True, enable_gqa=grouped and not repeated
                    )
                out.backward(torch.ones_like(out))

            label = f"{name}, keys repeated" if repeated else name
            try:
                found[label] = timed(work, device)
            except RuntimeError as error:
                found[label] = str(error).splitlines()[0][:120]
    return found


def losses(device: torch.device, a: Architecture, rows: int) -> dict[str, Any]:
    """Milliseconds of forward and backward, uncompiled and compiled."""
    size = rows * a.context
    hidden = torch.randn(size, a.hidden_size, device=device, requires_grad=True)
    weight = torch.randn(a.vocabulary_size, a.hidden_size, device=device) * 0.02
    weight.requires_grad_()
    targets = torch.randint(a.vocabulary_size, (size,), device=device)
    found = {}
    for name, shares in (("uncompiled", softmax), ("compiled", compiled_softmax())):

        def work(shares: Any = shares) -> None:
            total, _ = summed_loss(hidden, weight, targets, 0.0, torch.bfloat16, shares)
            (total / size).backward()

        found[name] = timed(work, device)
    return found


def run(device: torch.device, sizes: dict[str, Architecture], rows: int) -> dict[str, Any]:
    """Both, at every size, in milliseconds for `rows` sequences."""
    found: dict[str, Any] = {"rows": rows}
    for name, a in sizes.items():
        found[f"attention {name}"] = attention(device, a, rows)
        found[f"loss {name}"] = losses(device, a, rows)
    return found
