"""A model laid out for generation: rows that go on, each of a length of its own.

The same function as `Transformer`, in fewer steps, with keys and values of what was taken in.
Nothing of it can be trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from llm.model.compiled_forward import CompiledForward
from llm.model.eager_forward import EagerForward
from llm.model.pages import Pages
from llm.model.transformer import Transformer
from llm.model.weight_matrix import Weights


class Shape(Protocol):
    """Of a model, what going on with rows asks for."""

    @property
    def context(self) -> int:
        """Longest sequence it is meant for."""

    @property
    def vocabulary_size(self) -> int:
        """Width of its logits."""


class Rows(Protocol):
    """Rows that go on; `Inference` is one."""

    @property
    def architecture(self) -> Shape:
        """Of the model."""

    @property
    def device(self) -> torch.device:
        """Where logits lie."""

    @property
    def places(self) -> int:
        """Rows at once."""

    @property
    def longest(self) -> int:
        """Positions of a row at most."""

    def extend(self, tokens: Sequence[Sequence[int]], first: int = 0) -> Tensor:
        """See `Inference.extend`."""

    def move(self, source: int, target: int) -> None:
        """See `Inference.move`."""

    def clear(self, place: int) -> None:
        """See `Inference.clear`."""


class LaysOut(Protocol):
    """A model that lays itself out for generation."""

    @property
    def architecture(self) -> Shape:
        """Of the model."""

    def lay_out(self, places: int, longest: int) -> Rows:
        """For so many rows, each of up to `longest` positions."""


class Inference:
    """Continues up to `places` rows, each of up to `longest` positions.

    Args:
        dtype: of the stream, keys and values; that of the model if none.
        weights: bf16 and int8 halve and quarter what a step reads, and change logits a little.

    Attributes:
        lengths: positions of each row so far.
    """

    def __init__(
        self,
        model: Transformer,
        places: int,
        longest: int,
        dtype: torch.dtype | None = None,
        weights: Weights = "plain",
    ) -> None:
        a = self.architecture = model.architecture
        like = model.lm_head.weight
        self.device, self.places, self.longest = like.device, places, longest
        self.lengths = [0] * places
        spare = int(like.device.type == "cuda")  # see `EagerForward`
        shape = (a.layers, places, a.key_value_heads, longest + spare, a.head_dim)
        pages = Pages(like.device)
        self._keys, self._values = (pages.take(shape, dtype or like.dtype) for _ in range(2))
        possible = CompiledForward.possible(a, self._keys)
        kind = CompiledForward if possible else EagerForward
        self._forward = kind(model, weights, self._keys, self._values)

    @torch.inference_mode()
    def extend(self, tokens: Sequence[Sequence[int]], first: int = 0) -> Tensor:
        """Take new tokens of neighbouring rows in.

        Args:
            tokens: one or more of each row, of different numbers if need be.
            first: the place of the first of these rows.

        Returns:
            Logits behind the last token of each: (N, vocabulary), float32.
        """
        starts = self.lengths[first : first + len(tokens)]
        logits = self._forward(tokens, starts, first)
        ends = [start + len(row) for start, row in zip(starts, tokens, strict=True)]
        self.lengths[first : first + len(tokens)] = ends
        return logits

    def move(self, source: int, target: int) -> None:
        """A row takes another's place; its own is empty then."""
        length = self.lengths[source]
        self._keys[:, target, :, :length] = self._keys[:, source, :, :length]
        self._values[:, target, :, :length] = self._values[:, source, :, :length]
        self.lengths[target], self.lengths[source] = length, 0

    def clear(self, place: int) -> None:
        """Empty a place."""
        self.lengths[place] = 0

    @property
    def cache_bytes(self) -> int:
        """What keys and values of all places take."""
        return self._keys.nbytes + self._values.nbytes


def lay_out(model: Transformer | LaysOut, places: int, longest: int) -> Rows:
    """A model for so many rows, each of up to `longest` positions."""
    if isinstance(model, Transformer):
        return Inference(model, places, longest)
    return model.lay_out(places, longest)
