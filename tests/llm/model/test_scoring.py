"""Log-probabilities of chosen tokens against a plain computation, one row at a time."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm.model.initialisation import initialise
from llm.model.scoring import (
    UnscorableSequenceError,
    batches,
    completion_logprobs,
    summed_logprobs,
    token_logprobs,
)
from llm.model.transformer import Transformer
from tests.llm.alignment.tiny_run import ARCHITECTURE

CPU = torch.device("cpu")


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def model() -> Transformer:
    made = Transformer(ARCHITECTURE)
    initialise(made, 3)
    with torch.no_grad():
        made.model.embed_tokens.weight.mul_(20)  # far from uniform
    return made.eval()


def rows(count: int) -> tuple[list[list[int]], list[list[int]]]:
    draw = random.Random(0)
    sizes = [(draw.randint(1, 40), draw.randint(1, 60)) for _ in range(count)]
    ids = range(ARCHITECTURE.vocabulary_size)
    return [draw.choices(ids, k=n) for n, _ in sizes], [draw.choices(ids, k=n) for _, n in sizes]


def plainly(model: Transformer, prompt: list[int], completion: list[int]) -> float:
    """Token by token, from probabilities."""
    total = 0.0
    for place, token in enumerate(completion):
        seen = torch.tensor([prompt + completion[:place]])
        with torch.no_grad():
            total += math.log(model(seen)[0, -1].double().softmax(-1)[token].item())
    return total


def test_equal_to_one_token_at_a_time(model: Transformer) -> None:
    prompts, completions = rows(6)
    sums, counts = completion_logprobs(model, prompts, completions, 200, CPU, quiet)
    assert counts.tolist() == [len(completion) for completion in completions]
    expected = [plainly(model, p, c) for p, c in zip(prompts, completions, strict=True)]
    np.testing.assert_allclose(sums, expected, rtol=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 150, 100_000])
def test_batches_change_nothing(model: Transformer, batch_tokens: int) -> None:
    prompts, completions = rows(20)
    alone, _ = completion_logprobs(model, prompts, completions, 1, CPU, quiet)
    sums, _ = completion_logprobs(model, prompts, completions, batch_tokens, CPU, quiet)
    np.testing.assert_allclose(sums, alone, rtol=1e-5)


def test_only_chosen_tokens_count(model: Transformer) -> None:
    tokens = [5, 6, 7, 8, 9]
    first, _ = completion_logprobs(model, [[5]], [[6]], 10, CPU, quiet)
    last, _ = completion_logprobs(model, [[5, 6, 7]], [[8, 9]], 10, CPU, quiet)
    mask = np.array([False, True, False, True, True])
    both, counts = summed_logprobs(model, [tokens], [mask], 10, CPU, quiet)
    assert counts.tolist() == [3]
    assert both[0] == pytest.approx(first[0] + last[0], rel=1e-6)


@pytest.mark.parametrize("pair", [([], [4]), ([4], [])])
def test_a_row_without_prompt_or_answer(model: Transformer, pair: tuple) -> None:
    with pytest.raises(UnscorableSequenceError, match="sequence 1"):
        completion_logprobs(model, [[1], pair[0]], [[2], pair[1]], 10, CPU, quiet)


def test_nothing_foretells_the_first_token(model: Transformer) -> None:
    masks = [np.array([False, True]), np.array([True, True])]
    with pytest.raises(UnscorableSequenceError, match="sequence 1: its first token"):
        list(token_logprobs(model, [[1, 2], [1, 2]], masks, 12, CPU, quiet))


def test_sequences_with_nothing_to_score_are_passed_over(model: Transformer) -> None:
    masks = [np.zeros(1, bool), np.array([False, False, True])]
    found = dict(token_logprobs(model, [[1], [1, 2, 3]], masks, 1, CPU, quiet))
    assert len(found[0]) == 0
    assert found[1] == pytest.approx(plainly(model, [1, 2], [3]), rel=1e-5)


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 200))
def test_batches_hold_every_row_once_and_no_more_than_asked(lengths: list[int], limit: int) -> None:
    found = batches(lengths, limit)
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= limit
