"""The shape of a model, and how many parameters and operations that means."""

from __future__ import annotations

from dataclasses import dataclass

from llm.errors import ExpectedError


class ArchitectureError(ExpectedError, ValueError):
    """Sizes that do not fit together."""


@dataclass(frozen=True)
class Architecture:
    """A decoder-only transformer.

    Attributes:
        heads, key_value_heads: of queries, and of keys and values (grouped-query attention).
        context: longest sequence it is meant for.
        qk_norm: RMSNorm over each head of queries and keys; with it the model is a Qwen3,
            without it a Llama.
        tied: the output matrix is the embedding.
    """

    vocabulary_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    key_value_heads: int
    head_dim: int
    context: int
    rope_theta: float
    norm_eps: float
    qk_norm: bool
    tied: bool

    def __post_init__(self) -> None:
        if self.heads % self.key_value_heads:
            raise ArchitectureError(
                f"{self.heads} query heads cannot share {self.key_value_heads} key/value heads; "
                "the first must be a multiple of the second"
            )
        if self.head_dim % 2:
            raise ArchitectureError(f"head_dim {self.head_dim} is odd; rotary pairs need it even")

    @property
    def parameters(self) -> int:
        """Trainable parameters, a tied matrix counted once."""
        queries = self.heads * self.head_dim
        keys = self.key_value_heads * self.head_dim
        attention = self.hidden_size * (2 * queries + 2 * keys)
        norms = 2 * self.hidden_size + (2 * self.head_dim if self.qk_norm else 0)
        layer = attention + 3 * self.hidden_size * self.intermediate_size + norms
        embedding = self.vocabulary_size * self.hidden_size
        return layer * self.layers + self.hidden_size + embedding * (1 if self.tied else 2)

    def flops_per_token(self, length: int) -> float:
        """Training operations a token at a sequence length: 6 per matrix parameter it meets,
        the output matrix included and the embedding lookup not, and 12 L H d T of attention,
        not halved for the causal mask (Chowdhery et al. 2022, appendix B)."""
        lookup = 0 if self.tied else self.vocabulary_size * self.hidden_size
        attention = 12 * self.layers * self.heads * self.head_dim * length
        return 6.0 * (self.parameters - lookup) + attention
