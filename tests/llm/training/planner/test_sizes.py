"""Sizes, rules and memory of models, against real models and published figures."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.training import optimisers
from llm.training.memory_estimate import (
    InsufficientMemoryError,
    estimate,
    require_fitting,
)
from llm.training.planner import rules
from llm.training.planner.constant_rate import constant_rate
from llm.training.planner.sizes import LARGEST, PRESETS, SMALLEST, SizeError, find, parse_count


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_size_of_their_name(name: str) -> None:
    named = {"nano": 3.1e6, "tiny": 5.5e6, "124M": 124e6, "350M": 350e6, "1B": 1e9, "7B": 7e9}
    architecture = find(name).architecture
    assert architecture.parameters == pytest.approx(named[name], rel=0.06)
    with torch.device("meta"):
        model = Transformer(architecture)
    assert sum(p.numel() for p in model.parameters()) == architecture.parameters
    assert architecture.hidden_size == architecture.heads * architecture.head_dim


@given(st.floats(min_value=SMALLEST / 1.05, max_value=LARGEST * 1.05))
def test_every_size_between_them_is_met(parameters: float) -> None:
    found = find(str(round(parameters))).architecture
    assert found.parameters == pytest.approx(parameters, rel=0.15)
    assert found.heads % found.key_value_heads == 0


def test_sizes_from_large_models_on_are_met_closely() -> None:
    for count in (50e6, 200e6, 500e6, 800e6, 2e9, 3e9, 5e9):
        assert find(str(round(count))).architecture.parameters == pytest.approx(count, rel=0.05)


@pytest.mark.parametrize(
    ("text", "count"),
    [("124M", 124_000_000), ("1.5b", 1_500_000_000), ("3e9", 3_000_000_000), (" 2k ", 2_000)],
)
def test_counts(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "many", "-3M", "0", "3MM", "1e99", "nan", "2 000"])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(SizeError, match="no count"):
        parse_count(text)


@pytest.mark.parametrize("text", ["1M", "9B"])
def test_sizes_that_no_preset_reaches(text: str) -> None:
    with pytest.raises(SizeError, match="no preset reaches it; sizes go from"):
        find(text)


def test_rules_give_what_their_source_gives_at_the_size_they_were_found_for() -> None:
    assert rules.batch_tokens(108_000_000, 2048) == 160 * 2048
    assert rules.learning_rate(108_000_000) == 0.00235
    assert rules.learning_rate(8 * 108_000_000) == pytest.approx(0.00235 / 2, rel=0.01)
    assert rules.learning_rate(1_000_000) == 6e-3
    assert rules.batch_tokens(10, 256) == 256


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
@pytest.mark.parametrize("tied", [True, False])
def test_states_take_what_is_estimated(optimiser: str, tied: bool) -> None:
    """Weights, gradients and moments of a model that has done a step."""
    from dataclasses import replace

    a = replace(PRESETS["nano"], tied=tied, layers=2)
    model = Transformer(a)
    initialise(model, 0)
    built = optimisers.build(model, constant_rate(1, "fp32", optimiser))  # type: ignore[arg-type]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for each in built:
        each.step()
    held = sum(
        value.numel() * value.element_size()
        for each in built
        for state in each.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor) and value.ndim
    )
    weights = sum(p.numel() * 4 for p in model.parameters())
    memory = estimate(a, "fp32", optimiser)
    assert (memory.weights, memory.gradients) == (weights, weights)
    assert memory.moments == pytest.approx(held, rel=0.01)


def test_what_does_not_fit_is_told_with_what_would() -> None:
    a = PRESETS["7B"]
    with pytest.raises(InsufficientMemoryError, match=r"2 devices that share it .*processes=2"):
        require_fitting(a, "muon", 1, 80 * 10**9)
    require_fitting(a, "muon", 2, 80 * 10**9)
    with pytest.raises(InsufficientMemoryError, match=r"or a machine with 8\d GB"):
        require_fitting(a, "muon", 4, 24 * 10**9, on_host=4)
    with pytest.raises(InsufficientMemoryError, match=r"there are 0\.0 GB"):
        require_fitting(a, "muon", 1, 0)
    require_fitting(PRESETS["124M"], "adamw", 1, 4 * 10**9)
