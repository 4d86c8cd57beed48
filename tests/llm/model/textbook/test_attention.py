"""The formula against every way in which the model attends, and against worked numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from llm.model import transformer
from llm.model.textbook.attention import (
    attend_many_heads,
    attend_one_head,
    attention_weights,
    causal_mask,
    join_heads,
    split_heads,
)

torch.set_num_threads(1)
# (queries, keys): multi-head, grouped-query, multi-query.
HEADS = [(4, 4), (4, 2), (4, 1)]


def some_heads(heads: tuple[int, int], length: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Queries (2, H, T, 16), keys and values (2, K, T, 16), all of them leaves."""
    generator = torch.Generator().manual_seed(length)
    return tuple(
        torch.randn(2, count, length, 16, generator=generator, dtype=dtype).requires_grad_()
        for count in (heads[0], heads[1], heads[1])
    )


def test_a_worked_example() -> None:
    """Scores 0 and ln 3 (after division by √4): shares 1/4 and 3/4."""
    keys = torch.tensor([[0.0, 0, 0, 0], [2 * math.log(3), 0, 0, 0]])
    queries = torch.tensor([[1.0, 5, 5, 5], [1.0, 5, 5, 5]])
    values = torch.tensor([[0.0, 8.0], [4.0, 0.0]])
    mask = causal_mask(queries, keys)
    assert mask.tolist() == [[True, False], [True, True]]
    weights = attention_weights(queries, keys, mask)
    assert torch.allclose(weights, torch.tensor([[1.0, 0.0], [0.25, 0.75]]))
    out = attend_one_head(queries, keys, values, mask)
    assert torch.allclose(out, torch.tensor([[0.0, 8.0], [3.0, 2.0]]))


def test_the_mask_of_the_last_queries() -> None:
    rows = causal_mask(torch.zeros(2, 8), torch.zeros(5, 8)).int().tolist()
    assert rows == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


def test_heads_are_cut_and_joined() -> None:
    x = torch.arange(2 * 3 * 8).view(2, 3, 8)
    heads = split_heads(x, 4)
    assert heads.shape == (2, 4, 3, 2)
    assert heads[1, 2, 0].tolist() == x[1, 0, 4:6].tolist()
    assert torch.equal(join_heads(heads), x)


@pytest.mark.parametrize("heads", HEADS)
# One block; several blocks; too long for blocks, so PyTorch's kernel.
@pytest.mark.parametrize("length", [24, 300, 1100])
def test_causal_attention_is_the_models(heads: tuple[int, int], length: int) -> None:
    given = some_heads(heads, length, torch.float32)
    queries, keys, values = given
    reference = attend_many_heads(*given, causal_mask(queries, keys))
    fast = transformer.attend(queries, keys, values, None)
    assert (fast - reference).abs().max() < 1e-5
    direction = torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    gradients = (torch.autograd.grad((out * direction).sum(), given) for out in (fast, reference))
    for mine, theirs in zip(*gradients, strict=True):
        assert (mine - theirs).abs().max() < 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("heads", HEADS)
def test_attention_by_a_mask_is_the_models(heads: tuple[int, int]) -> None:
    """Two documents in a row, of which the second does not see the first."""
    queries, keys, values = some_heads(heads, 40, torch.float64)
    mask = causal_mask(queries, keys)
    mask[17:, :17] = False
    fast = transformer.attend(queries, keys, values, mask[None, None])
    reference = attend_many_heads(queries, keys, values, mask)
    assert (fast - reference).abs().max() < 1e-6
    assert (reference - attend_many_heads(queries, keys, values, causal_mask(queries, keys)))[
        :, :, 17:
    ].abs().max() > 0.1


def test_one_query_head_is_one_head() -> None:
    queries, keys, values = some_heads((4, 2), 12, torch.float64)
    mask = causal_mask(queries, keys)
    out = attend_many_heads(queries, keys, values, mask)
    for head, shared in enumerate((0, 0, 1, 1)):
        alone = attend_one_head(queries[:, head], keys[:, shared], values[:, shared], mask)
        assert (out[:, head] - alone).abs().max() < 1e-12
