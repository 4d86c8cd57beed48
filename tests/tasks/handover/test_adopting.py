"""A model that transformers wrote, taken back as the artifact of `sft`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from llm.alignment.adopted import AdoptedModelError
from tasks.engine.errors import TrainerError
from tasks.engine.run.build import build
from tasks.engine.run.plan import Planner, Status
from tasks.engine.store import channels
from tasks.handover.adopting import adopt
from tasks.handover.handing_over import hand_over
from tasks.stages.dpo import DpoConfig
from tasks.stages.sft import SftConfig
from tests.tasks.tuning_chain import QUICK, planned

SETTINGS: dict[str, Any] = QUICK


def again(parent: Path) -> Planner:
    """A planner of the chain as it is now."""
    planner = planned(parent, SftConfig(**SETTINGS), DpoConfig(**SETTINGS))
    planner.plan()
    return planner


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain, built once with a training of its own."""
    folder = tmp_path_factory.mktemp("chain")
    build(again(folder))
    return folder


def tuned(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """What a trainer of transformers leaves: a model in pieces, its tokenizer, its history."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    state = model.state_dict()
    change(state)
    model.load_state_dict(state)
    model.save_pretrained(folder / "tuned", max_shard_size="100KB")
    AutoTokenizer.from_pretrained(folder / "model").save_pretrained(folder / "tuned")
    history = [{"step": n, "loss": 4.0 - n, "learning_rate": 1e-3} for n in (1, 2)]
    state_file = folder / "tuned" / "checkpoint-2" / "trainer_state.json"
    state_file.parent.mkdir()
    state_file.write_text(json.dumps({"global_step": 2, "log_history": history}))
    return folder / "tuned"


def moved(state: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(0)
    for name, value in state.items():
        if "proj" in name:
            value.add_(torch.randn_like(value) / 50)


def test_it_takes_the_place_of_a_training(parent: Path, tmp_path: Path) -> None:
    planner = again(parent)
    request = planner.request("sft")
    trained = planner.artifacts["sft"]
    folder = hand_over(request, "tiny", tmp_path / "out").folder
    place = tuned(folder, moved)
    found = adopt(request, folder, planner.store)
    assert found.folder != trained.folder
    assert found.manifest.build_id == trained.manifest.build_id
    assert found.facts["adopted"] == {"by": "axolotl", "from": "tuned"}
    assert found.facts["steps"] == 2
    pieces = {}
    for path in place.glob("*.safetensors"):
        pieces |= load_file(path)
    kept = load_file(found.data("model").folder() / "model.safetensors")
    assert kept.keys() == pieces.keys()
    assert all(torch.equal(kept[name], pieces[name]) for name in kept)
    metrics = found.data("metrics").table().to_pylist()
    assert {row["value"] for row in metrics if row["name"] == "loss"} == {3.0, 2.0}
    before = found.facts["validation_loss_before"]
    assert before == pytest.approx(trained.facts["validation_loss_before"], rel=1e-6)
    assert found.facts["validation_loss_after"] != before
    assert found.manifest.code.digest == trained.manifest.code.digest
    # What is built next begins with it.
    channels.point(planner.store, "test", found)
    rows = {row.stage: row for row in again(parent).plan()}
    assert rows["sft"].status is Status.FRESH
    assert rows["dpo"].status is Status.STALE


def test_what_cannot_be_adopted(parent: Path, tmp_path: Path) -> None:
    planner = again(parent)
    request = planner.request("sft")

    def nothing(state: dict[str, torch.Tensor]) -> None:
        return

    def not_finite(state: dict[str, torch.Tensor]) -> None:
        state["model.norm.weight"][3] = float("nan")

    cases = {
        "it is the starting model": nothing,
        "model.norm.weight is not finite": not_finite,
    }
    for number, (message, change) in enumerate(cases.items()):
        folder = hand_over(request, "tiny", tmp_path / f"case{number}").folder
        tuned(folder, change)
        with pytest.raises(TrainerError, match=message):
            adopt(request, folder, planner.store)
    other = tmp_path / "case0"
    record = json.loads((other / "handover.json").read_text())
    (other / "handover.json").write_text(json.dumps(record | {"build_id": "f" * 64}))
    with pytest.raises(AdoptedModelError, match="its config or what it reads has changed"):
        adopt(request, other, planner.store)
    (other / "handover.json").write_text("{}")
    with pytest.raises(AdoptedModelError, match="is not what `ingot handover` wrote"):
        adopt(request, other, planner.store)
    with pytest.raises(AdoptedModelError, match="nowhere is not a folder"):
        adopt(request, tmp_path / "nowhere", planner.store)
    with pytest.raises(AdoptedModelError, match="examples tunes no model"):
        adopt(planner.request("examples"), other, planner.store)


@pytest.mark.long
def test_other_tokenizers_shapes_and_adapters(parent: Path, tmp_path: Path) -> None:
    planner = again(parent)
    request = planner.request("sft")
    folder = hand_over(request, "tiny", tmp_path / "out").folder
    place = tuned(folder, moved)
    path = place / "tokenizer.json"
    kept = path.read_text()
    changed = json.loads(kept)
    changed["model"]["merges"] = changed["model"]["merges"][:-1]
    path.write_text(json.dumps(changed))
    with pytest.raises(TrainerError, match="differs from the starting model's in model"):
        adopt(request, folder, planner.store)
    path.write_text(kept)
    history = place / "trainer_state.json"
    history.write_text('{"global_step": 2}')
    with pytest.raises(TrainerError, match=r"is no trainer's history .*log_history"):
        adopt(request, folder, planner.store)
    history.unlink()
    for piece in place.glob("*.safetensors*"):
        piece.unlink()
    save_file({"x": torch.zeros(1)}, place / "adapter_model.safetensors")
    with pytest.raises(TrainerError, match="merge it first"):
        adopt(request, folder, planner.store)
    save_file({"model.norm.weight": torch.zeros(8)}, place / "model.safetensors")
    with pytest.raises(TrainerError, match="it is another architecture"):
        adopt(request, folder, planner.store)
