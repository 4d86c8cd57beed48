"""Answers drawn for learning, and what a trainer's forward pass says of rows padded on the left."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from llm.alignment.checks import TrainerDataError
from llm.alignment.rollouts import draw, sampling_of
from llm.alignment.transformers_model import compute_with, transformers_model
from llm.model.folder import load
from llm.model.generation import generate
from llm.model.sampling import GREEDY
from tests.llm.alignment.tiny_run import model_folder

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13], [14, 15]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model"))


def test_an_answer_holds_the_token_that_ended_it(folder: Path) -> None:
    model = load(folder)
    sampling = sampling_of(1.0, 7, 3)
    whole = [one.tokens for one in draw(model, PROMPTS, 12, [], sampling)]
    assert [len(tokens) for tokens in whole] == [12] * 4
    stops = [whole[0][4], whole[2][9]]
    drawn = draw(model, PROMPTS, 12, stops, sampling)
    assert [one.said for one in drawn] == generate(model, PROMPTS, 12, stops, sampling)
    for one, tokens in zip(drawn, whole, strict=True):
        first = next((at for at, token in enumerate(tokens) if token in stops), None)
        assert one.finished is (first is not None)
        assert one.tokens == tokens[: None if first is None else first + 1]
    assert {one.finished for one in drawn} == {True, False}


def test_seeds_are_a_function_of_seed_and_step(folder: Path) -> None:
    model = load(folder)
    drawn = {
        at: [one.tokens for one in draw(model, PROMPTS, 8, [], sampling_of(1.0, *at))]
        for at in ((0, 1), (0, 2), (1, 1))
    }
    again = [one.tokens for one in draw(model, PROMPTS, 8, [], sampling_of(1.0, 0, 2))]
    assert drawn[0, 2] == again
    assert all(one != other for one, other in itertools.combinations(drawn.values(), 2))


def test_a_model_whose_weights_changed_answers_with_the_new_ones(folder: Path) -> None:
    model = load(folder)
    before = draw(model, PROMPTS, 8, [], GREEDY)
    with torch.no_grad():
        model.model.norm.weight.mul_(-1)
    assert draw(model, PROMPTS, 8, [], GREEDY) != before


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_padding_on_the_left_changes_nothing(folder: Path, temperature: float) -> None:
    model = load(folder)
    rows = [
        [*prompt, *range(20, 20 + answer)]
        for prompt, answer in zip(PROMPTS, (4, 3, 2, 4), strict=True)
    ]
    width = 5 + 4
    tokens, mask = torch.zeros(2, len(rows), width, dtype=torch.int64)
    labels = torch.full((len(rows), width), -100)
    expected = torch.zeros(len(rows), width - 1)
    for at, (row, prompt) in enumerate(zip(rows, PROMPTS, strict=True)):
        lead = 5 - len(prompt)
        tokens[at, lead : lead + len(row)] = torch.tensor(row)
        mask[at, lead : lead + len(row)] = 1
        labels[at, 5 : lead + len(row)] = torch.tensor(row[len(prompt) :])
        with torch.no_grad():
            logits = model(torch.tensor([row]))[0] / temperature
        logps = logits.log_softmax(-1)
        for place in range(len(prompt), len(row)):
            expected[at, lead + place - 1] = logps[place - 1, row[place]]
    held = transformers_model(model, folder)
    compute_with(model, held, temperature)
    with torch.no_grad():
        found = held(input_ids=tokens, attention_mask=mask, labels=labels, fused_lm_head=True)
    torch.testing.assert_close(found.log_probs, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(found.label_mask, labels[:, 1:] != -100)
    mask[0, 4] = 0
    with pytest.raises(TrainerDataError, match="pads within rows"):
        held(input_ids=tokens, attention_mask=mask, labels=labels, fused_lm_head=True)
