"""The next token from logits: every setting against what it means, odd ones too."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llm.model.sampling import GREEDY, Chooser, Sampling, SamplingError, choose, weights

SHARES = torch.tensor([0.5, 0.3, 0.15, 0.05])


def draws(logits: torch.Tensor, sampling: Sampling, rows: int) -> list[int]:
    """What rows of the same logits draw."""
    choosers = [Chooser(sampling, [], stream) for stream in range(rows)]
    return choose(logits.expand(rows, -1), choosers)


def test_sampling_keeps_to_the_likely() -> None:
    drawn = {}
    for name, sampling in {
        "all": Sampling(1.0, 0, 1.0, 0),
        "top_k": Sampling(1.0, 2, 1.0, 0),
        "top_p": Sampling(1.0, 0, 0.75, 0),
        "cold": Sampling(0.25, 0, 1.0, 0),
    }.items():
        chosen = torch.tensor(draws(SHARES.log(), sampling, 2000))
        drawn[name] = torch.bincount(chosen, minlength=4) / 2000
    assert torch.allclose(drawn["all"], SHARES, atol=0.04)
    expected = torch.tensor([0.625, 0.375, 0, 0])
    assert torch.allclose(drawn["top_k"], expected, atol=0.04)
    assert torch.allclose(drawn["top_p"], expected, atol=0.04)
    fourth = SHARES**4
    assert torch.allclose(drawn["cold"], fourth / fourth.sum(), atol=0.04)


@pytest.mark.parametrize("temperature", [1e-40, 1e-310, 5e-324, 1e-8])
def test_a_tiny_temperature_leaves_the_most_probable(temperature: float) -> None:
    logits = torch.tensor([[0.5, 30.0, -2.0, 29.0], [-1e4, -1e5, -3e38, float("-inf")]])
    for dtype in (torch.float32, torch.bfloat16):
        rows = [Chooser(Sampling(temperature, 0, 0.95, 0), [], stream) for stream in range(2)]
        assert choose(logits.to(dtype), rows) == [1, 0]


@pytest.mark.parametrize("temperature", [1e-40, 1.0, 1e300])
def test_a_top_p_of_0_leaves_the_most_probable(temperature: float) -> None:
    assert set(draws(SHARES.log(), Sampling(temperature, 0, 0.0, 0), 50)) == {0}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"temperature": -0.1}, "temperature -0.1"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"temperature": float("inf")}, "temperature inf"),
        ({"top_k": -1}, "top_k -1"),
        ({"top_p": 1.5}, "top_p 1.5"),
        ({"top_p": float("nan")}, "top_p nan"),
        ({"min_p": 1.1}, "min_p 1.1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty 0.0"),
        ({"presence_penalty": float("nan")}, "presence_penalty nan"),
        ({"frequency_penalty": float("inf")}, "frequency_penalty inf"),
        ({"logit_bias": ((-1, 2.0),)}, "logit_bias of -1"),
    ],
)
def test_sampling_that_means_nothing(setting: dict[str, object], message: str) -> None:
    plain: dict[str, object] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 0}
    with pytest.raises(SamplingError, match=message):
        Sampling(**plain | setting)  # type: ignore[arg-type]


@given(
    st.integers(0, 10_000),
    st.floats(0.05, 5),
    st.sampled_from((0, 1, 3, 50, 1500, 4000)),
    st.sampled_from((1.0, 0.999, 0.9, 0.3)),
    st.sampled_from((0.0, 0.02, 0.5)),
    st.sampled_from((1.0, 6.0)),
)
def test_cuts_are_those_of_transformers(
    seed: int, temperature: float, top_k: int, top_p: float, min_p: float, spread: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3000, generator=generator, dtype=torch.float64) * spread
    ids = torch.zeros((2, 1), dtype=torch.long)
    theirs = logits / temperature
    if top_k:
        theirs = TopKLogitsWarper(top_k)(ids, theirs)
    if top_p < 1:
        theirs = TopPLogitsWarper(top_p)(ids, theirs)
    if min_p:
        theirs = MinPLogitsWarper(min_p)(ids, theirs)
    rows = [Sampling(temperature, top_k, top_p, 0, min_p=min_p), Sampling(1.0, 0, 1.0, 0)]
    found = weights(logits, rows)
    found /= found.sum(-1, keepdim=True)
    assert torch.allclose(found[0], theirs.softmax(-1)[0], atol=1e-9)
    assert torch.allclose(found[1], logits.softmax(-1)[1], atol=1e-12)


def test_penalties() -> None:
    logits = torch.tensor([2.0, 2.0, -1.0, 0.5, 1.0])
    chooser = Chooser(replace(GREEDY, repetition_penalty=2.0), prompt=[2, 0])
    chooser.took(3)
    found = logits.clone()
    chooser.shift(found)
    seen = torch.tensor([[2, 0, 3]])
    expected = RepetitionPenaltyLogitsProcessor(2.0)(seen, logits[None].clone())[0]
    assert torch.equal(found, expected)
    assert found.tolist() == [1.0, 2.0, -2.0, 0.25, 1.0]
    # Those of OpenAI's protocol count the answer alone.
    chooser = Chooser(replace(GREEDY, presence_penalty=0.5, frequency_penalty=0.25), prompt=[0])
    for token in (1, 1, 4):
        chooser.took(token)
    found = logits.clone()
    chooser.shift(found)
    assert found.tolist() == [2.0, 1.0, -1.0, 0.5, 0.25]


def test_biases() -> None:
    def chosen(*bias: tuple[int, float]) -> list[int]:
        sampling = Sampling(1.0, 0, 1.0, seed=0, logit_bias=bias)
        return draws(SHARES.log(), sampling, 200)

    assert set(chosen((3, math.inf))) == {3}
    assert set(chosen((0, -math.inf), (1, -100.0))) == {2, 3}
    assert chosen((3, 50.0)) == [3] * 200
    everything = tuple((token, -math.inf) for token in range(4))
    assert set(chosen(*everything)) <= set(range(4))


def test_draws_go_by_the_seed_and_the_stream() -> None:
    logits = torch.zeros(1, 1000)

    def drawn(seed: int, stream: int) -> list[int]:
        chooser = Chooser(Sampling(1.0, 0, 1.0, seed), [], stream)
        return [choose(logits, [chooser])[0] for _ in range(8)]

    assert drawn(1, 0) == drawn(1, 0)
    distinct = {tuple(drawn(seed, stream)) for seed in (-1, 0, 1, 2**63) for stream in (0, 1)}
    assert len(distinct) == 8
    spread = np.histogram([token for row in distinct for token in row], bins=4, range=(0, 1000))[0]
    assert spread.min() > 4


def test_a_mixed_batch_chooses_row_by_row() -> None:
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(6, 300, generator=generator) * 3
    settings = [
        GREEDY,
        Sampling(0.7, 5, 1.0, 1),
        Sampling(1.5, 0, 0.8, 2, min_p=0.01),
        replace(GREEDY, logit_bias=((7, 100.0),)),
        Sampling(1.0, 0, 1.0, 3, repetition_penalty=1.3),
        Sampling(0.2, 2000, 0.99, 4),
    ]
    together = choose(logits, [Chooser(one, [1, 2]) for one in settings])
    alone = [
        choose(logits[at : at + 1], [Chooser(one, [1, 2])])[0] for at, one in enumerate(settings)
    ]
    assert together == alone
    assert together[3] == 7
