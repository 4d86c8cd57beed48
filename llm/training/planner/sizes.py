"""Shapes of models by their size: six presets, and what lies between them.

| preset | vocabulary | width | blocks | heads / key-value heads | MLP | context | tied |
|---|---|---|---|---|---|---|---|
| nano | 4,096 | 192 | 6 | 3 / 1 of 64 | 512 | 256 | yes |
| tiny | 4,096 | 256 | 6 | 4 / 2 of 64 | 704 | 512 | yes |
| 124M | 32,768 | 768 | 16 | 6 / 2 of 128 | 2,048 | 2,048 | yes |
| 350M | 32,768 | 1,024 | 24 | 8 / 4 of 128 | 3,072 | 2,048 | yes |
| 1B | 65,536 | 2,048 | 20 | 16 / 4 of 128 | 5,632 | 2,048 | yes |
| 7B | 65,536 | 4,096 | 36 | 32 / 8 of 128 | 11,008 | 4,096 | no |

Heads of 128 and widths of 40 to 110 a block are what small language models of 2025 and 2026 are
made of (Qwen3, SmolLM3, nanochat); MLPs are 8/3 of the width (Shazeer 2020).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from llm.errors import ExpectedError
from llm.model.architecture import Architecture

_COUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kKmMbBgGtT]?)")
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
# How far beyond the smallest and the largest preset a size may lie.
_BEYOND = 1.1
_HEAD_DIM = 64


class SizeError(ExpectedError, ValueError):
    """A size that no shape is known for, or that is no number."""


@dataclass(frozen=True)
class Size:
    """A model of about so many parameters.

    Attributes:
        name: as it was asked for.
        parameters: asked for; of a preset, those it has.
    """

    name: str
    parameters: int
    architecture: Architecture

    def with_tokenizer(self, vocabulary_size: int, context: int) -> Architecture:
        """The same blocks for another vocabulary and sequence length."""
        return replace(self.architecture, vocabulary_size=vocabulary_size, context=context)


def _shape(
    vocabulary: int, hidden: int, layers: int, heads: int, key_value_heads: int, head_dim: int,
    intermediate: int, context: int, tied: bool = True,
) -> Architecture:  # fmt: skip
    return Architecture(
        vocabulary_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=intermediate,
        layers=layers,
        heads=heads,
        key_value_heads=key_value_heads,
        head_dim=head_dim,
        context=context,
        rope_theta=10_000.0 if context <= 2048 else 500_000.0,
        norm_eps=1e-6,
        qk_norm=True,
        tied=tied,
    )


PRESETS: Mapping[str, Architecture] = {
    "nano": _shape(4096, 192, 6, 3, 1, 64, 512, 256),
    "tiny": _shape(4096, 256, 6, 4, 2, 64, 704, 512),
    "124M": _shape(32_768, 768, 16, 6, 2, 128, 2048, 2048),
    "350M": _shape(32_768, 1024, 24, 8, 4, 128, 3072, 2048),
    "1B": _shape(65_536, 2048, 20, 16, 4, 128, 5632, 2048),
    "7B": _shape(65_536, 4096, 36, 32, 8, 128, 11_008, 4096, tied=False),
}
SMALLEST = min(a.parameters for a in PRESETS.values())
LARGEST = max(a.parameters for a in PRESETS.values())


def parse_count(text: str) -> int:
    """124M, 1.5B, 3e9 or 2000000 as a number.

    Raises:
        SizeError: it is none, or none above zero.
    """
    found = _COUNT.fullmatch(text.strip())
    value = 0.0
    if found:
        value = float(found[1]) * _FACTORS[found[2].lower()]
    elif re.fullmatch(r"[0-9.]+[eE]\+?[0-9]{1,2}", text.strip()):
        value = float(text)
    if not 1 <= value < 2**63:
        raise SizeError(f"{text!r} is no count; write it as 124M, 1.5B or 2000000")
    return round(value)


def count_text(count: int) -> str:
    """A count as `parse_count` takes it, the shortest that is exact."""
    for unit in "BMk":
        if count % (_FACTORS[unit.lower()] // 1000) == 0 and count >= _FACTORS[unit.lower()]:
            return f"{count / _FACTORS[unit.lower()]:.12g}{unit}"
    return str(count)


def find(text: str) -> Size:
    """The size of this name, or of about so many parameters.

    Raises:
        SizeError: no preset reaches it.
    """
    for name, architecture in PRESETS.items():
        if name.lower() == text.strip().lower():
            return Size(name, architecture.parameters, architecture)
    return of_parameters(parse_count(text), text.strip())


def of_parameters(parameters: int, name: str = "") -> Size:
    """The shape nearest to so many parameters, between those of the presets.

    Raises:
        SizeError: it lies beyond the smallest or the largest of them.
    """
    if not SMALLEST / _BEYOND <= parameters <= LARGEST * _BEYOND:
        raise SizeError(
            f"{name or f'{parameters:,}'}: no preset reaches it; sizes go from "
            f"{SMALLEST / _BEYOND / 1e6:.1f} M to {LARGEST * _BEYOND / 1e9:.1f} B parameters "
            f"({', '.join(PRESETS)}). For others set pretrain's hidden_size, layers and heads"
        )
    candidates = list(_between(parameters))
    best = min(candidates, key=lambda pair: pair[0])
    return Size(name or count_text(parameters), parameters, best[1])


def _between(parameters: int) -> list[tuple[float, Architecture]]:
    """Shapes with how far they are off: in size, and in depth from the line between presets."""
    depth = _interpolated(parameters, {a.parameters: a.layers for a in PRESETS.values()})
    head = _HEAD_DIM if parameters < 100e6 else 2 * _HEAD_DIM
    vocabulary = next(
        size
        for most, size in ((20e6, 4096), (60e6, 16_384), (600e6, 32_768), (math.inf, 65_536))
        if parameters < most
    )
    context = 512 if parameters < 20e6 else 2048
    found = []
    for layers in range(max(2, round(depth * 0.7)), round(depth * 1.4) + 2):
        for heads in range(2, 41):
            hidden = heads * head
            shape = _shape(
                vocabulary, hidden, layers, heads, _key_value_heads(heads), head,
                -(-hidden * 8 // 192) * 64, context, tied=parameters < 2e9,
            )  # fmt: skip
            off = abs(math.log(shape.parameters / parameters))
            found.append((off + 0.1 * abs(math.log(layers / depth)), shape))
    return found


def _key_value_heads(heads: int) -> int:
    """A quarter of the heads or a little more, and a divisor of them."""
    return min(each for each in range(1, heads + 1) if heads % each == 0 and 4 * each >= heads)


def _interpolated(parameters: int, known: Mapping[int, int]) -> float:
    """A line through the logarithms of what is known, flat beyond its ends."""
    points = sorted(known.items())
    if parameters <= points[0][0]:
        return points[0][1]
    for (low, low_value), (high, high_value) in pairwise(points):
        if parameters <= high:
            share = math.log(parameters / low) / math.log(high / low)
            return float(low_value * (high_value / low_value) ** share)
    return points[-1][1]
