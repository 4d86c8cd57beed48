"""A model of transformers laid out for generation: a cache a row, one row after the other.

Any architecture goes on this way, also one whose cache is no keys and values. Rows are not computed
side by side, as ours are in `llm.model.inference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from llm.foreign.model import ForeignModel


class ForeignInference:
    """Continues up to `places` rows, each of up to `longest` positions; see `llm.model.inference`.

    The model is used as it is: what is changed in it shows with the next row.
    """

    def __init__(self, model: ForeignModel, places: int, longest: int) -> None:
        self._model, self.architecture = model, model.architecture
        self.device, self.places, self.longest = model.device, places, longest
        self._caches: list[Any] = [None] * places

    @torch.inference_mode()
    def extend(self, tokens: Sequence[Sequence[int]], first: int = 0) -> Tensor:
        """New tokens of neighbouring rows; logits behind the last of each, (N, V) float32."""
        found = []
        for place, row in enumerate(tokens, first):
            ids = torch.tensor([list(row)], device=self.device)
            logits, self._caches[place] = self._model.continued(ids, self._caches[place])
            found.append(logits.float())
        return torch.cat(found)

    def move(self, source: int, target: int) -> None:
        """A row takes another's place; its own is empty then."""
        self._caches[target], self._caches[source] = self._caches[source], None

    def clear(self, place: int) -> None:
        """Empty a place."""
        self._caches[place] = None
