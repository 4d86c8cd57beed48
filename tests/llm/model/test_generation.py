"""Answers to prompts: against transformers, the path without a cache, and each prompt alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from llm.model.architecture import Architecture
from llm.model.batching import Ask, Batch, Made
from llm.model.generation import generate
from llm.model.inference import Inference
from llm.model.sampling import GREEDY, Sampling, SamplingError
from tests.llm.model.test_against_transformers import KINDS, QWEN, saved, some_tokens, spread


def tokens_of(length: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed * 1000 + length)
    found: list[int] = torch.randint(QWEN.vocabulary_size, (length,), generator=generator).tolist()
    return found


def finish(batch: Batch) -> dict[int, list[Made]]:
    """Every step of each row until none is left."""
    made: dict[int, list[Made]] = {}
    while batch.running or batch.waiting:
        for one in batch.step():
            made.setdefault(one.number, []).append(one)
    return made


@pytest.mark.parametrize("architecture", KINDS)
def test_greedy_generation(tmp_path: Path, architecture: Architecture) -> None:
    model = spread(architecture)
    theirs = AutoModelForCausalLM.from_pretrained(saved(model, tmp_path))
    prompts = [row.tolist() for row in some_tokens(2, 9)] + [some_tokens(1, 17)[0].tolist()]
    answers = generate(model, prompts, 20, stop=[], sampling=GREEDY)
    for prompt, answer in zip(prompts, answers, strict=True):
        naive = list(prompt)
        for _ in range(20):
            with torch.no_grad():
                naive.append(int(model(torch.tensor([naive]))[0, -1].argmax()))
        assert answer == naive[len(prompt) :]
        given = torch.tensor([prompt])
        made = theirs.generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=20, eos_token_id=None
        )
        assert answer == made[0, len(prompt) :].tolist()
    # A row alone says what it says among others, and ends before a stop token.
    stop = answers[1][7]
    assert generate(model, [prompts[1]], 20, stop=[stop]) == [answers[1][: answers[1].index(stop)]]


def test_generation_stays_in_the_context() -> None:
    model = spread(QWEN)
    [answer] = generate(model, [some_tokens(1, 60)[0].tolist()], 20, stop=[])
    assert len(answer) == QWEN.context - 60
    long, short = (some_tokens(1, length)[0].tolist() for length in (60, 5))
    together = generate(model, [long, short], 20, stop=[])
    assert [len(found) for found in together] == [QWEN.context - 60, 20]
    assert together == [generate(model, [prompt], 20, stop=[])[0] for prompt in (long, short)]
    assert generate(model, [], 20, stop=[]) == []
    for bad in ([], [0] * QWEN.context):
        with pytest.raises(ValueError, match="prompt 1 has"):
            generate(model, [[1], bad], 4, stop=[])


def test_an_answer_ends_where_it_is_told_to_and_its_neighbours_go_on() -> None:
    model = spread(QWEN)
    prompts = [some_tokens(1, length)[0].tolist() for length in (9, 5, 12)]
    whole = generate(model, prompts, 15, stop=[])
    longest = {0: 4, 1: 15, 2: 1}
    found = generate(model, prompts, 15, stop=[], ended=lambda row, made: len(made) >= longest[row])
    assert found == [answer[: longest[row]] for row, answer in enumerate(whole)]


def test_training_may_follow_generation() -> None:
    model = spread(QWEN)
    generate(model, [[1, 2, 3]], 2, stop=[])
    model(some_tokens(1, 8)).sum().backward()
    gradient = model.model.layers[0].self_attn.q_proj.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("architecture", KINDS)
def test_logits_are_the_model_s(architecture: Architecture) -> None:
    model = spread(architecture)
    inference = Inference(model, places=3, longest=40)
    rows = [tokens_of(length) for length in (3, 30, 11)]
    found = inference.extend(rows)
    # One token a row, then several of the last two alone.
    later = [[*row, 5] for row in rows]
    one = inference.extend([[5]] * 3)
    more = [[*row, 7, 8, 9][: len(row) + n] for row, n in zip(later[1:], (3, 1), strict=True)]
    several = inference.extend([[7, 8, 9], [7]], first=1)
    with torch.no_grad():
        for logits, prompts in ((found, rows), (one, later), (several, more)):
            for row, prompt in zip(logits, prompts, strict=True):
                expected = model(torch.tensor([prompt]))[0, -1]
                assert (row - expected).abs().max() < 2e-6 * expected.abs().max()
    assert inference.lengths == [4, 34, 13]


def test_narrow_weights() -> None:
    model = spread(QWEN)
    prompt = tokens_of(20)
    with torch.no_grad():
        expected = model(torch.tensor([prompt]))[0, -1].softmax(-1)
    for inference, bar in (
        (Inference(model, 1, 40, torch.bfloat16), 0.15),
        (Inference(model, 1, 40, weights="int8"), 0.15),
    ):
        found = inference.extend([prompt])[0]
        assert found.dtype == torch.float32
        apart = (found.softmax(-1) - expected).abs().sum() / 2
        assert 0 < apart < bar
    assert torch.allclose(
        Inference(model, 1, 40, weights="int8").extend([prompt]),
        torch.cat([Inference(model, 2, 40, weights="int8").extend([prompt, prompt])])[1:],
        atol=1e-4,
    )


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 12)), min_size=1, max_size=9),
    st.integers(1, 4),
    st.sampled_from((7, 16, 512)),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8)), max_size=3),
)
def test_a_row_among_others_is_the_row_alone(
    asked: list[tuple[int, int]], places: int, chunk: int, cancelled: list[tuple[int, int]]
) -> None:
    model = spread(QWEN)
    stops = frozenset(tokens_of(6, seed=9))
    asks = [
        Ask(
            tokens_of(length, at),
            new,
            stops,
            Sampling(0.8, 0, 0.9, seed=at, frequency_penalty=0.3) if at % 2 else GREEDY,
            runners_up=at % 3 or None,
        )
        for at, (length, new) in enumerate(asked)
    ]
    batch = Batch(Inference(model, places, QWEN.context), chunk)
    for ask in asks:
        batch.add(ask)
    together: dict[int, list[Made]] = {}
    for step in range(10_000):
        if not batch.running and not batch.waiting:
            break
        assert batch.running <= places
        for when, who in cancelled:
            if when == step:
                batch.cancel(who)
        for made in batch.step():
            together.setdefault(made.number, []).append(made)
    gone = {who for _, who in cancelled}
    for number, ask in enumerate(asks):
        alone = Batch(Inference(model, 1, QWEN.context))
        alone.add(ask)
        expected = finish(alone)[0]
        found = together.get(number, [])
        if number in gone:
            expected = expected[: len(found)]
        assert [made.token for made in found] == [made.token for made in expected]
        assert [made.ended for made in found] == [made.ended for made in expected]
        for one, other in zip(found, expected, strict=True):
            assert (one.scores is None) == (other.scores is None)
            if one.scores is not None and other.scores is not None:
                assert one.scores.logprob == pytest.approx(other.scores.logprob, abs=1e-4)
                assert len(one.scores.most) == ask.runners_up


def test_a_place_is_given_on_at_once() -> None:
    batch = Batch(Inference(spread(QWEN), 2, QWEN.context))
    for new in (1, 5, 5):
        batch.add(Ask(tokens_of(4), new, frozenset(), GREEDY))
    assert [made.ended for made in batch.step()] == ["length", None]
    assert (batch.running, batch.waiting) == (1, 1)
    batch.step()
    assert (batch.running, batch.waiting) == (2, 0)


def test_scores_are_the_model_s_own() -> None:
    model = spread(QWEN)
    prompt = tokens_of(12)
    batch = Batch(Inference(model, 1, QWEN.context))
    hot = Sampling(2.0, 5, 1.0, seed=3, presence_penalty=1.0)
    batch.add(Ask(prompt, 6, frozenset(), hot, runners_up=4))
    for made in finish(batch)[0]:
        with torch.no_grad():
            expected = model(torch.tensor([prompt]))[0, -1].log_softmax(-1)
        assert made.scores is not None
        assert made.token is not None
        assert made.scores.logprob == pytest.approx(float(expected[made.token]), abs=1e-4)
        most = expected.topk(4)
        assert [token for token, _ in made.scores.most] == most.indices.tolist()
        prompt = [*prompt, made.token]


def test_a_bias_for_a_token_that_is_none() -> None:
    batch = Batch(Inference(spread(QWEN), 1, QWEN.context))
    size = QWEN.vocabulary_size
    sampling = replace(GREEDY, logit_bias=((size, 1.0),))
    with pytest.raises(SamplingError, match=f"logit_bias of {size}: the vocabulary has {size}"):
        batch.add(Ask([1], 1, frozenset(), sampling))
