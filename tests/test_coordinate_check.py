"""Under µP a step moves activations of a wide, and of a deep model as far as of a small one."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch

from benchmarks import coordinate_check
from benchmarks.coordinate_check import mup_growth
from tests.llm.tokens.small_tokenizer import library_texts


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a run over widths and depths eight times as large."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("coordinates")
    text = folder / "text.txt"
    text.write_text("\n\n".join(library_texts()))
    sizes = "--widths 32 256 --depths 2 16 --vocabulary 512 --length 32 --rows 4 --steps 4"
    plot = ["--plot", str(folder / "changes.svg")]
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("builtins.print", lambda *words, **_: said.append(" ".join(map(str, words))))
        patch.setattr(sys, "argv", f"coordinate_check.py --text {text} {sizes}".split() + plot)
        coordinate_check.main()
    assert "stream" in (folder / "changes-width.svg").read_text()
    assert "logits" in (folder / "changes-depth.svg").read_text()
    found: dict[str, Any] = json.loads(said[-1])
    return found


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_changes_stay_under_mup_and_grow_without_it(record: dict[str, Any], optimiser: str) -> None:
    growth = {row["name"]: row["growth"] for row in record["rows"]}
    for grown in ("width", "depth"):
        for quantity in ("stream", "logits"):
            assert 0.5 < growth[f"{optimiser} mup {grown} {quantity}"] < 2
    assert growth[f"{optimiser} standard width stream"] > 4
    if optimiser == "adamw":  # Muon's grow with the depth too, after more steps
        assert growth["adamw standard depth stream"] > 2
    # Each of many blocks adds a smaller part, all of them as much as the few of the base.
    assert 1 / 32 < growth[f"{optimiser} mup depth attention"] < 1 / 4


def test_the_smallest_model_is_the_base(record: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in record["rows"]}
    for name, row in rows.items():
        if row["parametrisation"] == "mup":
            same = rows[name.replace(" mup ", " standard ")]
            first = next(iter(row["changes"]))
            assert row["changes"][first] == same["changes"][first]
            assert row["changes"][first][0] == 0.0
    [bar] = record["bars"]
    assert (bar["name"], bar["holds"]) == ("mup_growth", True)
    assert bar["value"] == mup_growth(record["rows"])
