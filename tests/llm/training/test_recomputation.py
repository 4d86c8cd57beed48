"""Activation checkpointing: the same numbers, from what is computed twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from llm.training.recomputation import recompute
from llm.training.run_file import Recomputation
from tests.llm.training.small_run import (
    ARCHITECTURE,
    EXECUTION,
    fresh,
    metrics,
    run_of,
    trained,
    weights,
)

LAYERS = ARCHITECTURE.layers
MM, RSQRT = torch.ops.aten.mm.default, torch.ops.aten.rsqrt.default


class _Counted(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Any] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.calls[function] += 1
        return function(*args, **(kwargs or {}))


def _calls(kind: Recomputation) -> Counter[Any]:
    model = fresh()
    recompute(model, kind)
    assert [name for name, _ in model.named_parameters()] == [
        name for name, _ in fresh().named_parameters()
    ]
    with _Counted() as counted:
        model.hidden(torch.arange(8)[None]).sum().backward()
    return counted.calls


def test_what_is_computed_again() -> None:
    none, selective, full = (_calls(kind) for kind in ("none", "selective", "full"))
    again = {name: (selective[name] - none[name], full[name] - none[name]) for name in (MM, RSQRT)}
    # Four norms a layer; seven products, of which the last one's result nobody asks for.
    assert again[RSQRT] == (4 * LAYERS, 4 * LAYERS)
    assert again[MM] == (0, 6 * LAYERS)


@pytest.mark.parametrize("kind", ["selective", "full"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_changes_no_byte(tmp_path: Path, kind: Recomputation, precision: str) -> None:
    settings: dict[str, Any] = {"steps": 4, "precision": precision}
    kept = run_of(tmp_path / "kept", **settings)
    execution = replace(EXECUTION, activation_checkpointing=kind)
    again = run_of(tmp_path / "again", execution, **settings)
    trained(kept)
    trained(again)
    assert weights(again) == weights(kept)
    assert metrics(again) == metrics(kept)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["selective", "full"])
def test_compiled_too(tmp_path: Path, kind: Recomputation) -> None:
    kept = run_of(tmp_path / "kept", steps=4)
    execution = replace(EXECUTION, compile=True, activation_checkpointing=kind)
    again = run_of(tmp_path / "again", execution, steps=4)
    trained(kept)
    assert trained(again)["compiled"]
    assert metrics(again)["loss"] == pytest.approx(metrics(kept)["loss"], rel=1e-5)
