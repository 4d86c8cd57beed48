"""New tokens of rows through the whole model, by PyTorch's operations.

Shapes: N rows, T new positions, S positions so far, D hidden_size, H heads, K key_value_heads,
G = H / K, d head_dim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from llm.model.joined_layer import JoinedLayer, join
from llm.model.recorded_steps import RecordedSteps, Work, cuda_graphs
from llm.model.transformer import Transformer, rotary_tables
from llm.model.weight_matrix import WeightMatrix, Weights


class _Layer:
    """A block's norms, and its products with weights as they are kept."""

    def __init__(self, joined: JoinedLayer, kept: Weights) -> None:
        self.into_attention, self.into_mlp = joined.into_attention, joined.into_mlp
        self.queries_keys = joined.queries_keys
        self.queries_keys_values = WeightMatrix(joined.queries_keys_values, kept)
        self.out = WeightMatrix(joined.out, kept)
        self.gates_values = WeightMatrix(joined.gates_values, kept)
        self.down = WeightMatrix(joined.down, kept)


class EagerForward:
    """Takes tokens of rows in, on any device and in any dtype.

    Args:
        weights: how matrices are kept.
        keys, values: (layers, places, K, longest, d), of the dtype of the stream; those of new
            tokens are written into them. On a GPU no row may come to the last of its positions.
    """

    def __init__(self, model: Transformer, weights: Weights, keys: Tensor, values: Tensor) -> None:
        self._architecture, self._keys, self._values = model.architecture, keys, values
        dtype, self._device, self._longest = keys.dtype, keys.device, keys.shape[3]
        self._layers = [_Layer(join(block, dtype), weights) for block in model.model.blocks]
        self._embedding = model.model.embed_tokens.weight.detach().to(dtype)
        self._norm = model.model.norm.weight.detach().to(dtype)
        self._head = WeightMatrix(model.lm_head.weight.detach().to(dtype), weights)
        tables = rotary_tables(model.architecture, self._longest, keys.device)
        self._cos, self._sin = tables.to(dtype)
        self._recorded: RecordedSteps | None = None
        if self._device.type == "cuda":
            self.record_steps(cuda_graphs())

    def record_steps(self, record: Callable[[Work], Work]) -> None:
        """Play steps of a token a row back, from now on."""
        places, positions = self._keys.shape[1], self._longest
        vocabulary = self._architecture.vocabulary_size
        self._recorded = RecordedSteps(
            self._step, places, positions, vocabulary, self._device, record
        )

    def __call__(
        self, tokens: Sequence[Sequence[int]], starts: Sequence[int], first: int
    ) -> Tensor:
        """Take tokens of neighbouring rows in.

        Args:
            tokens: one or more of each row.
            starts: positions of each row so far.
            first: the place of the first row.

        Returns:
            Logits behind the last token of each row, (N, vocabulary), float32.
        """
        counts = [len(row) for row in tokens]
        most = max(counts)
        if self._recorded is not None and most == 1 and first == 0:
            return self._recorded([row[0] for row in tokens], starts)
        padded = [[*row, *[0] * (most - len(row))] for row in tokens]
        ids = torch.tensor(padded, device=self._device)
        places = torch.tensor(starts, device=self._device)[:, None]
        places = places + torch.arange(most, device=self._device)
        places = places.clamp(max=self._longest - 1)
        spans = [slice(start, start + count) for start, count in zip(starts, counts, strict=True)]
        so_far = max(span.stop for span in spans)
        alike = most == 1 and len(set(starts)) == 1
        mask = None if alike else self._mask(places, so_far)
        x = self._hidden(ids, places, first, spans, mask, so_far)
        return self._logits(x[torch.arange(len(tokens)), torch.tensor(counts) - 1])

    def _step(self, ids: Tensor, places: Tensor, span: int) -> Tensor:
        """Logits behind ids (N,) at places (N,) of the first rows, which all lie before `span`."""
        places = places[:, None]
        return self._logits(
            self._hidden(ids[:, None], places, 0, [], self._mask(places, span), span)[:, 0]
        )

    def _logits(self, x: Tensor) -> Tensor:
        return self._head(F.rms_norm(x, self._norm.shape, self._norm, self._eps)).float()

    @property
    def _eps(self) -> float:
        return self._architecture.norm_eps

    def _hidden(
        self,
        ids: Tensor,
        places: Tensor,
        first: int,
        spans: Sequence[slice],
        mask: Tensor | None,
        so_far: int,
    ) -> Tensor:
        """Ids (N, T) at places (N, T) to the stream behind the last block (N, T, D); spans of the
        new positions are read where a row has several."""
        a = self._architecture
        rows, new = ids.shape
        every = slice(first, first + rows)
        cos, sin = self._cos[places][:, :, None], self._sin[places][:, :, None]  # (N, T, 1, d)
        heads, both = a.heads, a.heads + a.key_value_heads
        at = torch.arange(first, first + rows, device=self._device), places[:, 0]
        x = F.embedding(ids, self._embedding)
        for number, layer in enumerate(self._layers):
            found = layer.queries_keys_values(
                F.rms_norm(x, (a.hidden_size,), layer.into_attention, self._eps)
            ).view(rows, new, -1, a.head_dim)
            turned = found[:, :, :both]
            if layer.queries_keys is not None:
                turned = F.rms_norm(turned, (a.head_dim,), None, self._eps) * layer.queries_keys
            one, other = turned.chunk(2, dim=-1)
            turned = torch.addcmul(turned * cos, torch.cat((-other, one), dim=-1), sin)
            keys, values = self._keys[number], self._values[number]
            if new == 1:
                keys[at[0], :, at[1]] = turned[:, 0, heads:]
                values[at[0], :, at[1]] = found[:, 0, both:]
            else:
                for row, span in enumerate(spans):
                    count = span.stop - span.start
                    keys[first + row, :, span] = turned[row, :count, heads:].transpose(0, 1)
                    values[first + row, :, span] = found[row, :count, both:].transpose(0, 1)
            out = self._attend(turned[:, :, :heads], keys[every], values[every], mask, so_far)
            x = x + layer.out(out)
            normed = F.rms_norm(x, (a.hidden_size,), layer.into_mlp, self._eps)
            gates, linear = layer.gates_values(normed).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gates) * linear)
        return x

    def _mask(self, places: Tensor, so_far: int) -> Tensor:
        """What is added to scores, (N, 1, T, S) float32: -inf for what lies ahead of a place, or
        is no position of its row."""
        ahead = torch.arange(so_far, device=self._device) > places[..., None]
        zeros = torch.zeros(ahead.shape, device=self._device)
        return zeros.masked_fill(ahead, float("-inf"))[:, None]

    def _attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, so_far: int
    ) -> Tensor:
        """Attention of scaled queries (N, T, H, d) on keys and values (N, K, longest, d), of which
        `so_far` count: (N, T, H * d). Queries that share a key are rows of one product."""
        a = self._architecture
        rows, new = queries.shape[:2]
        pairs, groups = rows * a.key_value_heads, a.heads // a.key_value_heads
        keys = keys.view(pairs, self._longest, -1)[:, :so_far]
        values = values.view(pairs, self._longest, -1)[:, :so_far]
        split = queries.view(rows, new, a.key_value_heads, groups, a.head_dim)
        together = split.permute(0, 2, 3, 1, 4).reshape(pairs, groups * new, a.head_dim)
        scores = torch.bmm(together, keys.mT).float()
        if mask is not None:
            wide = scores.view(rows, -1, new, so_far) + mask
            scores = wide.view(pairs, groups * new, so_far)
        out = torch.bmm(scores.softmax(-1).to(values.dtype), values)
        out = out.view(rows, a.key_value_heads, groups, new, a.head_dim).permute(0, 3, 1, 2, 4)
        return out.reshape(rows, new, -1)
