"""Every parameter has one role, whatever its name, and one treatment by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from llm.model.initialisation import initialise
from llm.model.parametrisation import Treatment, roles, treatments
from llm.model.parametrisation_choice import STANDARD, Kind, Parametrisation
from llm.model.transformer import Transformer
from tests.llm.training.small_run import ARCHITECTURE


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("qk_norm", [True, False])
def test_roles_are_those_of_the_modules(tied: bool, qk_norm: bool) -> None:
    model = Transformer(replace(ARCHITECTURE, tied=tied, qk_norm=qk_norm))
    found = roles(model)
    assert list(found) == [name for name, _ in model.named_parameters()]
    assert {name for name, role in found.items() if role == "matrix"} == {
        f"model.layers.{layer}.{part}_proj.weight"
        for layer in range(ARCHITECTURE.layers)
        for part in (
            *("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o"),
            *("mlp.gate", "mlp.up", "mlp.down"),
        )
    }
    by_token = {name: role for name, role in found.items() if role in ("embedding", "output")}
    expected = {"model.embed_tokens.weight": "embedding"}
    assert by_token == (expected if tied else expected | {"lm_head.weight": "output"})
    vectors = {name for name, parameter in model.named_parameters() if parameter.ndim == 1}
    assert {name for name, role in found.items() if role == "vector"} == vectors


def test_a_module_nobody_declared_is_an_error() -> None:
    model = Transformer(ARCHITECTURE)
    model.model.norm = nn.LayerNorm(ARCHITECTURE.hidden_size)  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"model\.norm\.weight: LayerNorm has no role"):
        roles(model)


BASE = Parametrisation("mup", 32, 2, 16, zero_init=False)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("qk_norm", [True, False])
def test_at_its_base_sizes_mup_is_the_standard(tied: bool, qk_norm: bool) -> None:
    model = Transformer(replace(ARCHITECTURE, tied=tied, qk_norm=qk_norm))
    assert treatments(model, BASE) == treatments(model, STANDARD)


def _wide(**changes: Any) -> dict[str, Treatment]:
    """Four times as wide, three times as deep: treatments by the end of the name."""
    architecture = replace(ARCHITECTURE, hidden_size=128, layers=6, heads=8, **changes)
    found = treatments(Transformer(architecture), BASE)
    return {name.removeprefix("model.layers.5."): each for name, each in found.items()}


def test_what_width_and_depth_change() -> None:
    found = _wide()
    into = 0.02 / 4**0.5  # GPT-2's of the base's two layers
    hidden = Treatment("matrix", 0.0, 0.01, 1 / 4, 1 / 2, 1 / 12)
    assert found["self_attn.q_proj.weight"] == found["mlp.up_proj.weight"] == hidden
    residual = found["self_attn.o_proj.weight"]
    assert residual == found["mlp.down_proj.weight"]
    assert (residual.std, residual.adamw_rate, residual.muon_rate, residual.epsilon) == (
        pytest.approx((into / 2 / 3, 1 / 12, 1 / 6, 1 / 4))
    )
    embedding = found["model.embed_tokens.weight"]
    assert (embedding.std, embedding.adamw_rate, embedding.epsilon) == (0.02, 1.0, 0.25)
    norm = found["input_layernorm.weight"]
    assert (norm.mean, norm.std, norm.adamw_rate) == (1.0, 0.0, 1.0)
    final = found["model.norm.weight"]  # has the multiplier of the logits
    assert (final.mean, final.std, final.adamw_rate, final.epsilon) == (0.25, 0.0, 0.25, 1.0)


def test_an_output_matrix_takes_the_multiplier_of_logits() -> None:
    found = _wide(tied=False)
    output = found["lm_head.weight"]
    assert (output.std, output.adamw_rate, output.epsilon) == (0.005, 0.25, 1.0)
    assert found["model.norm.weight"].mean == 1.0


@pytest.mark.parametrize("qk_norm", [True, False])
def test_larger_heads_have_smaller_scores(qk_norm: bool) -> None:
    found = _wide(qk_norm=qk_norm, head_dim=64)
    plain = _wide(qk_norm=qk_norm)
    name = "self_attn.q_norm.weight" if qk_norm else "self_attn.q_proj.weight"
    changed = {each for each in found if found[each] != plain[each] and "layers" not in each}
    assert changed == {name}
    assert found[name] == plain[name].times(1 / 2)


def test_first_weights_have_their_deviations() -> None:
    model = Transformer(replace(ARCHITECTURE, hidden_size=128, layers=6, heads=8))
    initialise(model, 0, BASE)
    found = treatments(model, BASE)
    for name, parameter in model.named_parameters():
        assert parameter.mean().item() == pytest.approx(found[name].mean, abs=1e-3), name
        if found[name].std:
            assert parameter.std().item() == pytest.approx(found[name].std, rel=0.05), name


@pytest.mark.parametrize("kind", ["standard", "mup"])
def test_a_block_that_starts_as_the_identity(kind: Kind) -> None:
    there, zero = Transformer(ARCHITECTURE), Transformer(ARCHITECTURE)
    chosen = replace(BASE, kind=kind)
    initialise(there, 1, chosen)
    initialise(zero, 1, replace(chosen, zero_init=True))
    for (name, one), other in zip(there.named_parameters(), zero.parameters(), strict=True):
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            assert not other.any()
        else:
            assert torch.equal(one, other)
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        expected = zero.lm_head(zero.model.norm(zero.model.embed_tokens(tokens)))
        assert torch.equal(zero(tokens), expected)


def test_which_parametrisations_have_the_same_rates() -> None:
    assert STANDARD.same_rates(replace(STANDARD, zero_init=True, base_width=64))
    assert BASE.same_rates(replace(BASE, zero_init=True))
    assert not BASE.same_rates(replace(BASE, base_layers=3))
    assert not BASE.same_rates(STANDARD)
    assert [p.neutral for p in (STANDARD, replace(STANDARD, zero_init=True), BASE)] == [
        True,
        False,
        False,
    ]
