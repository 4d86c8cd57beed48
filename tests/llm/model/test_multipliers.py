"""A model that multiplies, and the plain one it is folded into."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForCausalLM

from llm.model import multipliers
from llm.model.architecture import Architecture
from llm.model.initialisation import initialise
from llm.model.parametrisation import Multipliers, published
from llm.model.parametrisation import multipliers as multipliers_of
from llm.model.parametrisation_choice import Parametrisation
from llm.model.transformer import Transformer
from llm.training import optimisers
from llm.training.run_file import Optimiser
from tests.llm.model.test_against_transformers import KINDS, saved, some_tokens, spread
from tests.llm.training.small_run import OPTIMISATION

torch.set_num_threads(1)

ALL = Multipliers(embedding=7.0, output=0.13, attention=0.6, residual=0.3)
# Three times as wide, one and a half times as deep and with heads four times as large.
MUP = Parametrisation("mup", 16, 2, 4, zero_init=False)


@pytest.mark.parametrize("architecture", KINDS)
def test_folded_it_says_the_same_in_transformers(
    tmp_path: Path, architecture: Architecture
) -> None:
    model, tokens = spread(architecture), some_tokens(3, 40)
    theirs = AutoModelForCausalLM.from_pretrained(saved(multipliers.fold(model, ALL), tmp_path))
    with torch.no_grad():
        explicit = multipliers.logits(model, tokens, ALL)
        found = theirs(tokens).logits
        unfolded = model(tokens)
    assert (found - explicit).abs().max() < 1e-5 * explicit.abs().max()
    assert (unfolded - explicit).abs().max() > 0.1 * explicit.abs().max()


@pytest.mark.parametrize("optimiser", optimisers.OPTIMISERS)
@pytest.mark.parametrize("architecture", KINDS)
def test_folded_it_trains_as_it_does_with_multipliers(
    architecture: Architecture, optimiser: Optimiser
) -> None:
    o = replace(OPTIMISATION, optimiser=optimiser, learning_rate=3e-3, parametrisation=MUP)
    m = multipliers_of(architecture, MUP)
    folded = Transformer(architecture)
    initialise(folded, 3, MUP)
    explicit = multipliers.fold(
        folded, Multipliers(1 / m.embedding, 1 / m.output, 1 / m.attention, 1 / m.residual)
    )
    treated = published(explicit, MUP)
    sides = [
        (
            explicit,
            lambda tokens: multipliers.logits(explicit, tokens, m),
            optimisers.for_parameters(
                [(parameter, treated[name]) for name, parameter in explicit.named_parameters()], o
            ),
        ),
        (folded, folded, optimisers.build(folded, o)),
    ]
    losses: list[list[float]] = [[], []]
    tokens = some_tokens(4, 32)
    for _ in range(6):
        for told, (model, logits, made) in zip(losses, sides, strict=True):
            loss = F.cross_entropy(logits(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
            model.zero_grad()
            loss.backward()
            for one in made:
                one.step()
            told.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][-1] < losses[0][0] - 0.05
    again = dict(multipliers.fold(explicit, m).named_parameters())
    start = Transformer(architecture)
    initialise(start, 3, MUP)
    for (name, parameter), before in zip(
        folded.named_parameters(), start.parameters(), strict=True
    ):
        moved = _size(parameter - before)
        assert moved > 0, name
        assert _size(parameter - again[name]) < 1e-3 * moved, name


def _size(values: Tensor) -> float:
    return values.detach().norm().item()
