"""Every parameter has one role, whatever its name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from llm.model.parametrisation import roles
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
