"""Steps of one token a row that are recorded once and played back.

A step of a small batch is hundreds of short kernels, which take a GPU less time than a processor
needs to launch them. A CUDA graph is launched once for all of them, and runs over the memory that
it was recorded on: hence rows are filled up to a few sizes, and positions to a few spans.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_LOG = logging.getLogger(__name__)
_SHORTEST_SPAN = 256

Work = Callable[[], None]


class RecordedSteps:
    """Takes a token of each of the first rows in.

    Args:
        step: of ids (N,) at positions (N,), int64 on the device, of the first N rows: their logits
            (N, vocabulary), float32; reads no position from a span on, writes that of each token.
        places: rows there are.
        positions: a row has; the last is spare, tokens that fill rows up are written there.
        record: gives what plays work back; work was done once or more by then.
    """

    def __init__(
        self,
        step: Callable[[Tensor, Tensor, int], Tensor],
        places: int,
        positions: int,
        vocabulary: int,
        device: torch.device,
        record: Callable[[Work], Work],
    ) -> None:
        self._step, self._record = step, record
        self._places, self._positions = places, positions
        self._given = torch.zeros(2, places, dtype=torch.long, device=device)
        self._logits = torch.zeros(places, vocabulary, device=device)
        self._plays: dict[tuple[int, int], Work] = {}

    def __call__(self, tokens: Sequence[int], starts: Sequence[int]) -> Tensor:
        """Tokens of the first rows at the positions where they end so far: logits (N, vocabulary),
        float32."""
        count = len(tokens)
        rows = min(_power(count), self._places)
        span = min(max(_power(max(starts) + 1), _SHORTEST_SPAN), self._positions)
        spare = rows - count
        given = torch.tensor([[*tokens, *[0] * spare], [*starts, *[self._positions - 1] * spare]])
        self._given[:, :rows].copy_(given)
        play = self._plays.get((rows, span))
        if play is None:
            play = self._plays[rows, span] = self._recorded(rows, span)
        play()
        return self._logits[:count].clone()

    def _recorded(self, rows: int, span: int) -> Work:
        def work() -> None:
            ids, positions = self._given[:, :rows]
            self._logits[:rows].copy_(self._step(ids, positions, span))

        try:
            return self._record(work)
        except RuntimeError as error:
            _LOG.warning("steps of %d rows cannot be recorded and stay slow: %s", rows, error)
            return work


def cuda_graphs() -> Callable[[Work], Work]:
    """Records on the GPU. All graphs share their memory, since one plays at a time and none leaves
    anything in it."""
    pool = torch.cuda.graph_pool_handle()

    def record(work: Work) -> Work:
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries set themselves up in a first pass
            work()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            work()
        return graph.replay

    return record


def _power(count: int) -> int:
    """The least power of two that is no less."""
    return 1 << (count - 1).bit_length()
