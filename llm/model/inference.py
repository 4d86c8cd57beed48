"""A model laid out for generation: its matrices joined, and keys and values of rows that go on.

The same function as `Transformer`, in fewer and smaller steps: one product for queries, keys and
values, one for gates and values of the MLP, norms of queries and keys at once, and a cache in
which every row has a length of its own. Nothing of it can be trained.

Shapes: N rows, T new positions, S positions so far, D hidden_size, H heads, K key_value_heads,
G = H / K, d head_dim.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from llm.model.compiled_forward import CompiledForward, LayerWeights
from llm.model.transformer import Block, Transformer, rotary_tables
from llm.model.weight_matrix import WeightMatrix, Weights


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
        like = model.lm_head.weight.detach()
        dtype = dtype or like.dtype
        self.device, self.places, self.longest = like.device, places, longest
        self.lengths = [0] * places
        with torch.no_grad():
            self._layers = [_lay_out(block, weights, dtype) for block in model.model.blocks]
            self._embedding = model.model.embed_tokens.weight.detach().to(dtype)
            self._norm = model.model.norm.weight.detach().to(dtype)
            self._head = WeightMatrix(like.to(dtype), weights)
        self._cos, self._sin = rotary_tables(a, longest, self.device).to(dtype)
        shape = (a.layers, places, a.key_value_heads, longest, a.head_dim)
        self._keys = torch.zeros(shape, dtype=dtype, device=self.device)
        self._values = torch.zeros_like(self._keys)
        self._compiled = self._compile()

    @torch.inference_mode()
    def extend(self, tokens: Sequence[Sequence[int]], first: int = 0) -> Tensor:
        """Take new tokens of neighbouring rows in.

        Args:
            tokens: one or more of each row, of different numbers if need be.
            first: the place of the first of these rows.

        Returns:
            Logits behind the last token of each: (N, vocabulary), float32.
        """
        counts = [len(row) for row in tokens]
        starts = self.lengths[first : first + len(tokens)]
        ends = [start + count for start, count in zip(starts, counts, strict=True)]
        if self._compiled is not None:
            logits = self._compiled(tokens, starts, first)
            self.lengths[first : first + len(tokens)] = ends
            return logits
        most = max(counts)
        ids = torch.tensor([[*row, *[0] * (most - len(row))] for row in tokens], device=self.device)
        places = torch.tensor(starts, device=self.device)[:, None]
        places = places + torch.arange(most, device=self.device)
        x = self._hidden(ids, places.clamp(max=self.longest - 1), first, starts, counts)
        self.lengths[first : first + len(tokens)] = ends
        if most > 1:
            x = x[torch.arange(len(tokens)), torch.tensor(counts) - 1]
        else:
            x = x[:, 0]
        return self._head(F.rms_norm(x, self._norm.shape, self._norm, self._eps)).float()

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

    def _compile(self) -> CompiledForward | None:
        if not CompiledForward.possible(self.architecture, self._embedding):
            return None
        return CompiledForward(
            self.architecture,
            self._layers,
            self._embedding.contiguous(),
            self._norm,
            self._head,
            self._cos.contiguous(),
            self._sin.contiguous(),
            self._keys,
            self._values,
        )

    @property
    def _eps(self) -> float:
        return self.architecture.norm_eps

    def _hidden(
        self, ids: Tensor, places: Tensor, first: int, starts: list[int], counts: list[int]
    ) -> Tensor:
        """Ids (N, T) at places (N, T) to the stream behind the last block (N, T, D)."""
        a = self.architecture
        rows, new = ids.shape
        every = slice(first, first + rows)
        so_far = max(start + count for start, count in zip(starts, counts, strict=True))
        cos, sin = self._cos[places][:, :, None], self._sin[places][:, :, None]  # (N, T, 1, d)
        mask = self._mask(places, starts, so_far)
        heads, both = a.heads, a.heads + a.key_value_heads
        at = torch.arange(first, first + rows, device=self.device), places[:, 0]
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
                for row, (start, count) in enumerate(zip(starts, counts, strict=True)):
                    span = slice(start, start + count)
                    keys[first + row, :, span] = turned[row, :count, heads:].transpose(0, 1)
                    values[first + row, :, span] = found[row, :count, both:].transpose(0, 1)
            out = self._attend(turned[:, :, :heads], keys[every], values[every], mask, so_far)
            x = x + layer.out(out)
            normed = F.rms_norm(x, (a.hidden_size,), layer.into_mlp, self._eps)
            gates, linear = layer.gates_values(normed).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gates) * linear)
        return x

    def _mask(self, places: Tensor, starts: list[int], so_far: int) -> Tensor | None:
        """What is added to scores, (N, 1, T, S) float32: -inf for what lies ahead of a place, or
        is no position of its row."""
        if places.shape[1] == 1 and len(set(starts)) == 1:
            return None
        ahead = torch.arange(so_far, device=self.device) > places[..., None]
        zeros = torch.zeros(ahead.shape, device=self.device)
        return zeros.masked_fill(ahead, float("-inf"))[:, None]

    def _attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, so_far: int
    ) -> Tensor:
        """Attention of scaled queries (N, T, H, d) on keys and values (N, K, longest, d), of which
        `so_far` count: (N, T, H * d). Queries that share a key are rows of one product."""
        a = self.architecture
        rows, new = queries.shape[:2]
        pairs, groups = rows * a.key_value_heads, a.heads // a.key_value_heads
        keys = keys.view(pairs, self.longest, -1)[:, :so_far]
        values = values.view(pairs, self.longest, -1)[:, :so_far]
        split = queries.view(rows, new, a.key_value_heads, groups, a.head_dim)
        together = split.permute(0, 2, 3, 1, 4).reshape(pairs, groups * new, a.head_dim)
        scores = torch.bmm(together, keys.mT).float()
        if mask is not None:
            wide = scores.view(rows, -1, new, so_far) + mask
            scores = wide.view(pairs, groups * new, so_far)
        out = torch.bmm(scores.softmax(-1).to(values.dtype), values)
        out = out.view(rows, a.key_value_heads, groups, new, a.head_dim).permute(0, 3, 1, 2, 4)
        return out.reshape(rows, new, -1)


def _lay_out(block: Block, kept: Weights, dtype: torch.dtype) -> LayerWeights:
    attention, mlp = block.self_attn, block.mlp
    joined = (attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight)
    weights = torch.cat(joined).to(dtype)
    scale = attention.head_dim**-0.5
    heads = len(attention.q_proj.weight) // attention.head_dim
    norms = None
    if attention.q_norm is not None and attention.k_norm is not None:
        of_keys = len(attention.k_proj.weight) // attention.head_dim
        norms = torch.cat(
            (
                (attention.q_norm.weight * scale).expand(heads, -1),
                attention.k_norm.weight.expand(of_keys, -1),
            )
        ).to(dtype)
    else:
        weights[: heads * attention.head_dim] *= scale
    gates_values = torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight)).to(dtype)
    return LayerWeights(
        into_attention=block.input_layernorm.weight.to(dtype),
        queries_keys_values=WeightMatrix(weights, kept),
        queries_keys=norms,
        out=WeightMatrix(attention.o_proj.weight.to(dtype), kept),
        into_mlp=block.post_attention_layernorm.weight.to(dtype),
        gates_values=WeightMatrix(gates_values, kept),
        down=WeightMatrix(mlp.down_proj.weight.to(dtype), kept),
    )
