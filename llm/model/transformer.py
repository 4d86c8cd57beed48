"""The model: pre-norm decoder with RMSNorm, rotary positions, grouped-query attention, SwiGLU.

Module names are those of transformers' Qwen3 and Llama, so the state dict *is* the export: with
`qk_norm` it loads into Qwen3ForCausalLM, without into LlamaForCausalLM, and gives the same
logits. No dropout, no biases. Nothing here knows of devices, compilation or parallelism, nor of
generation, which has a layout of its own in `inference`.

Shapes: B batch, T sequence, D hidden_size, H heads, K key_value_heads, d head_dim.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llm.model.architecture import Architecture
from llm.model.causal_blocks import SHORT, ahead, attend_in_blocks
from llm.model.products import Linear, multiply

_MANY_ROWS = 256


class RMSNorm(nn.Module):
    """x / rms(x) * weight, computed in float32 (Zhang and Sennrich 2019)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled.to(x.dtype)


def rotary_tables(architecture: Architecture, length: int, device: torch.device) -> Tensor:
    """cos and sin of each position (Su et al. 2021): float32 (2, T, d), halves repeated."""
    half = torch.arange(0, architecture.head_dim, 2, device=device, dtype=torch.float32)
    frequencies = 1.0 / architecture.rope_theta ** (half / architecture.head_dim)
    angles = torch.outer(torch.arange(length, device=device, dtype=torch.float32), frequencies)
    angles = torch.cat((angles, angles), dim=-1)
    return torch.stack((angles.cos(), angles.sin()))


def rotate(x: Tensor, tables: Tensor) -> Tensor:
    """Rotate (B, heads, T, d) by (2, T, d); pairs are (i, i + d/2), as in transformers.

    Rows of another layout by tables that broadcast to it.
    """
    cos, sin = tables[0].to(x.dtype), tables[1].to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Causal attention of (B, H, T, d) on (B, K, S, d), or by a mask: see `Transformer.hidden`.

    Without a boolean mask S must equal T. `causal_blocks.ahead()` as a mask is causal, in blocks.
    """
    if mask is not None and mask.dtype == torch.int32:
        from llm.model.bounded_attention import attend_within

        return attend_within(queries, keys, values, mask)
    if mask is not None and mask.is_floating_point():
        return attend_in_blocks(queries, keys, values, mask)
    groups = queries.shape[1] // keys.shape[1]
    grouped = groups > 1
    if grouped and queries.is_cuda and (mask is not None or queries.dtype == torch.float32):
        # The flash kernel, which knows groups, takes neither masks nor float32; the kernels that
        # do know no groups, and what is left without them holds all T x S scores.
        keys = keys.repeat_interleave(groups, dim=1)
        values = values.repeat_interleave(groups, dim=1)
        grouped = False
    out: Tensor = F.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=mask,
        is_causal=mask is None,
        enable_gqa=grouped,
    )
    return out


def project(x: Tensor, *layers: nn.Linear) -> tuple[Tensor, ...]:
    """(..., D) by each of the matrices.

    On a CPU many rows meet all matrices in one product, which takes fewer passes over the rows; a
    GPU gains nothing, and for a few rows laying the matrices side by side costs more.
    """
    if x.device.type != "cpu" or x.shape[:-1].numel() < _MANY_ROWS:
        return tuple(layer(x) for layer in layers)
    weight = torch.cat([layer.weight for layer in layers])
    return torch.split(multiply(x, weight), [layer.out_features for layer in layers], dim=-1)


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al. 2023), with RMSNorm on queries and keys."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.head_dim = a.head_dim
        self.q_proj = Linear(a.hidden_size, a.heads * a.head_dim)
        self.k_proj = Linear(a.hidden_size, a.key_value_heads * a.head_dim)
        self.v_proj = Linear(a.hidden_size, a.key_value_heads * a.head_dim)
        self.o_proj = Linear(a.heads * a.head_dim, a.hidden_size)
        self.q_norm = RMSNorm(a.head_dim, a.norm_eps) if a.qk_norm else None
        self.k_norm = RMSNorm(a.head_dim, a.norm_eps) if a.qk_norm else None

    def forward(self, x: Tensor, tables: Tensor, mask: Tensor | None) -> Tensor:
        batch, length, _ = x.shape
        products = project(x, self.q_proj, self.k_proj, self.v_proj)
        heads = (batch, length, -1, self.head_dim)
        queries, keys, values = (product.view(heads) for product in products)
        if self.q_norm is not None and self.k_norm is not None:
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        by_position = tables[:, :, None]
        queries, keys = rotate(queries, by_position), rotate(keys, by_position)
        queries, keys = queries.to(values.dtype), keys.to(values.dtype)
        queries, keys = queries.transpose(1, 2), keys.transpose(1, 2)  # (B, heads, T, d)
        out = attend(queries, keys, values.transpose(1, 2), mask)
        return cast("Tensor", self.o_proj(out.transpose(1, 2).reshape(batch, length, -1)))


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.gate_proj = Linear(a.hidden_size, a.intermediate_size)
        self.up_proj = Linear(a.hidden_size, a.intermediate_size)
        self.down_proj = Linear(a.intermediate_size, a.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        gates, values = project(x, self.gate_proj, self.up_proj)
        # Not by F.silu, whose derivative, once compiled, takes exponentials twice on a CPU.
        return cast("Tensor", self.down_proj(gates * torch.sigmoid(gates) * values))


class Block(nn.Module):
    """Attention and MLP, each on a normalised copy, added to the residual stream."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.self_attn = Attention(a)
        self.mlp = MLP(a)
        self.input_layernorm = RMSNorm(a.hidden_size, a.norm_eps)
        self.post_attention_layernorm = RMSNorm(a.hidden_size, a.norm_eps)

    def forward(self, x: Tensor, tables: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), tables, mask)
        return x + cast("Tensor", self.mlp(self.post_attention_layernorm(x)))


class Decoder(nn.Module):
    """Embedding, blocks, final norm: token ids to hidden states."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(a.vocabulary_size, a.hidden_size)
        self.layers = nn.ModuleList(Block(a) for _ in range(a.layers))
        self.norm = RMSNorm(a.hidden_size, a.norm_eps)

    @property
    def blocks(self) -> list[Block]:
        """The layers, as what they are."""
        return [cast("Block", layer) for layer in self.layers]


class Transformer(nn.Module):
    """A causal language model."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.model = Decoder(architecture)
        size = (architecture.hidden_size, architecture.vocabulary_size)
        self.lm_head = nn.Linear(*size, bias=False)
        if architecture.tied:
            self.lm_head.weight = self.model.embed_tokens.weight
        self._tables: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return self.lm_head.weight.device

    def _rotary(self, length: int, device: torch.device) -> Tensor:
        tables = self._tables
        if tables is None or tables.shape[1] < length or tables.device != device:
            longest = max(self.architecture.context, length)
            with torch.inference_mode(False):  # what generation makes, training may meet
                self._tables = tables = rotary_tables(self.architecture, longest, device)
        return tables[:, :length]

    def hidden(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Final hidden states, normalised: (B, T) int64 -> (B, T, D).

        Args:
            mask: boolean (B or 1, 1, T, S), true where a position may look; or, for bfloat16 on a
                GPU, int32 (N + 1,), where each of N documents begins in the rows laid end to end,
                and their end: none looks into another. `None` = causal.
        """
        length, device = tokens.shape[1], tokens.device
        tables = self._rotary(length, device)
        if mask is None and device.type == "cpu" and length <= SHORT:
            mask = ahead()
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x, tables, mask)
        return cast("Tensor", self.model.norm(x))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits: (B, T) int64 -> (B, T, vocabulary)."""
        return cast("Tensor", self.lm_head(self.hidden(tokens, mask)))
