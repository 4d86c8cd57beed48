"""GPT-2 (Radford et al. 2019): what `llm/model/transformer.py` is a descendant of, to compare.

| | GPT-2 | `transformer.py` |
|---|---|---|
| norm | LayerNorm | RMSNorm |
| positions | a learned vector each, added once | rotary, in every attention |
| MLP | GELU, 4 x wide | SwiGLU |
| key heads | as many as query heads | may be fewer |
| biases | everywhere | none |

Parameters have transformers' names. There is no dropout: one pass over much text needs none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import Tensor, nn

from llm.errors import ExpectedError
from llm.model.architecture import ArchitectureError
from llm.model.textbook.attention import attend_many_heads, causal_mask, join_heads, split_heads

_STD = 0.02


class SequenceTooLongError(ExpectedError, ValueError):
    """A sequence has more tokens than the model has learned positions."""


class UnknownTokenError(ExpectedError, ValueError):
    """A token id is none of the model's vocabulary."""


@dataclass(frozen=True)
class GPT2Shape:
    """Sizes of a GPT-2.

    Attributes:
        context: how many positions there are, so the longest sequence.
        intermediate_size: of the MLP; 4 x hidden_size in every GPT-2 that was published.
        norm_eps: what LayerNorm adds to the variance.

    Raises:
        ArchitectureError: a size that is no size, or heads that do not divide the width.
    """

    vocabulary_size: int
    context: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    norm_eps: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = (int, float) if field.name == "norm_eps" else int
            if not isinstance(value, kinds) or isinstance(value, bool) or not 0 < value < 1e300:
                what = "a number above 0" if field.name == "norm_eps" else "a whole number from 1"
                raise ArchitectureError(f"{field.name} is {value!r}; it is {what}")
        if self.hidden_size % self.heads:
            raise ArchitectureError(
                f"hidden_size {self.hidden_size} cannot be cut into {self.heads} heads"
            )

    @property
    def parameters(self) -> int:
        """Trainable parameters; the output matrix is the embedding and counted once."""
        width, inner = self.hidden_size, self.intermediate_size
        attention = width * 3 * width + 3 * width + width * width + width
        mlp = width * inner + inner + inner * width + width
        norms = 2 * 2 * width
        embeddings = (self.vocabulary_size + self.context) * width
        return embeddings + self.layers * (attention + mlp + norms) + 2 * width


class LayerNorm(nn.Module):
    """(x - mean) / standard deviation * weight + bias, in float32 (Ba et al. 2016)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        centred = wide - wide.mean(-1, keepdim=True)
        variance = centred.pow(2).mean(-1, keepdim=True)
        return (centred * torch.rsqrt(variance + self.eps)).to(x.dtype) * self.weight + self.bias


def gelu(x: Tensor) -> Tensor:
    """x times the probability that a standard normal is below it (Hendrycks and Gimpel 2016), by
    the tanh that GPT-2 was trained with: transformers' `gelu_new`."""
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x.pow(3))))


class Attention(nn.Module):
    """Multi-head attention; one matrix makes queries, keys and values."""

    def __init__(self, shape: GPT2Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.c_attn = nn.Linear(shape.hidden_size, 3 * shape.hidden_size)
        self.c_proj = nn.Linear(shape.hidden_size, shape.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        products = self.c_attn(x).chunk(3, dim=-1)  # three of (B, T, D)
        queries, keys, values = (split_heads(each, self.heads) for each in products)
        out = attend_many_heads(queries, keys, values, causal_mask(queries, keys))
        return cast("Tensor", self.c_proj(join_heads(out)))


class MLP(nn.Module):
    """Two matrices and a GELU between them."""

    def __init__(self, shape: GPT2Shape) -> None:
        super().__init__()
        self.c_fc = nn.Linear(shape.hidden_size, shape.intermediate_size)
        self.c_proj = nn.Linear(shape.intermediate_size, shape.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.c_proj(gelu(self.c_fc(x))))


class Block(nn.Module):
    """Attention and MLP, each on a normalised copy, added to the residual stream."""

    def __init__(self, shape: GPT2Shape) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(shape.hidden_size, shape.norm_eps)
        self.attn = Attention(shape)
        self.ln_2 = LayerNorm(shape.hidden_size, shape.norm_eps)
        self.mlp = MLP(shape)

    def forward(self, x: Tensor) -> Tensor:
        x = x + cast("Tensor", self.attn(self.ln_1(x)))
        return x + cast("Tensor", self.mlp(self.ln_2(x)))


class Decoder(nn.Module):
    """Embeddings, blocks, final norm: token ids to hidden states."""

    def __init__(self, shape: GPT2Shape) -> None:
        super().__init__()
        self.wte = nn.Embedding(shape.vocabulary_size, shape.hidden_size)
        self.wpe = nn.Embedding(shape.context, shape.hidden_size)
        self.h = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.ln_f = LayerNorm(shape.hidden_size, shape.norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.wte(tokens) + self.wpe(positions)  # (B, T, D) + (T, D)
        for block in self.h:
            x = block(x)
        return cast("Tensor", self.ln_f(x))


class GPT2(nn.Module):
    """A causal language model, with first weights of the seed: equal seeds, equal weights."""

    def __init__(self, shape: GPT2Shape, seed: int) -> None:
        super().__init__()
        self.shape = shape
        self.transformer = Decoder(shape)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocabulary_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight
        self._initialise(torch.Generator().manual_seed(seed))

    def _initialise(self, generator: torch.Generator) -> None:
        """Matrices normal with 0.02, those that write to the residual stream, two a layer, with
        0.02 / sqrt(2 x layers); biases zero; factors of norms stay one."""
        residual = _STD / math.sqrt(2 * self.shape.layers)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
                elif parameter.ndim == 2:
                    std = residual if name.endswith("c_proj.weight") else _STD
                    parameter.normal_(0.0, std, generator=generator)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits: (B, T) int64 -> (B, T, vocabulary).

        Raises:
            SequenceTooLongError: T is above the context.
            UnknownTokenError: an id is below 0 or not below the vocabulary's size.
        """
        if tokens.shape[1] > self.shape.context:
            raise SequenceTooLongError(
                f"a sequence of {tokens.shape[1]} tokens, and the model has learned "
                f"{self.shape.context} positions; cut it"
            )
        unknown = tokens[(tokens < 0) | (tokens >= self.shape.vocabulary_size)]
        if unknown.numel():
            raise UnknownTokenError(
                f"token {int(unknown[0])} is none of the vocabulary, 0 to "
                f"{self.shape.vocabulary_size - 1}; is the tokenizer the model's own?"
            )
        return cast("Tensor", self.lm_head(self.transformer(tokens)))
