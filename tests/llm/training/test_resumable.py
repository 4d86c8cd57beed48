"""What further training goes on from, and what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from llm.model.config_file import TokenizerMismatchError
from llm.model.folder import load
from llm.model.parametrisation_choice import STANDARD, Parametrisation
from llm.process.parent import StoppedError
from llm.training import resumable
from llm.training.loop import train
from llm.training.resumable import ArchitectureMismatchError, WeightsNotFiniteError
from llm.training.run_file import Run
from llm.training.schedules import share, stable_steps
from llm.training.training_state import StateError
from tests.llm.training.small_run import (
    EXECUTION,
    LENGTH,
    OPTIMISATION,
    After,
    metrics,
    never,
    run_of,
    trained,
)

STABLE = 7  # of 12 steps, the last five of which the learning rate falls in
OFTEN = replace(EXECUTION, checkpoint_seconds=0.0)


def _after(run: Run, folder: Path, **optimisation: Any) -> Run:
    """A run that goes on from another one's state, with its own steps."""
    made = run_of(folder, warmup_steps=0, **optimisation)
    return replace(made, paths=replace(made.paths, start=run.paths.resumable))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = run_of(tmp_path_factory.mktemp("first"))
    trained(run)
    return run


def test_the_stable_phase_ends_where_the_rate_begins_to_fall() -> None:
    for steps, warmup, decay in ((12, 2, 0.4), (100, 10, 1.0), (7, 0, 0.1), (5, 5, 0.5)):
        o = replace(OPTIMISATION, steps=steps, warmup_steps=warmup, decay_share=decay)
        end = stable_steps(o)
        assert share(end, o) == 1.0
        assert all(share(step, o) < 1.0 for step in range(end + 1, steps))
    assert stable_steps(OPTIMISATION) == STABLE
    assert stable_steps(replace(OPTIMISATION, schedule="cosine")) == 0
    assert stable_steps(replace(OPTIMISATION, warmup_steps=0, decay_share=1.0)) == 0


def test_it_is_the_state_before_the_decay(first: Run, tmp_path: Path) -> None:
    folder = Path(first.paths.resumable)
    found = resumable.read(folder)
    assert found is not None
    assert (found.step, found.stable, found.optimiser) == (STABLE, True, "adamw")
    assert found.tokens == STABLE * 8 * LENGTH
    stopped = run_of(tmp_path)
    with pytest.raises(StoppedError, match=f"after step {STABLE} of 12"):
        train(stopped, After(STABLE))
    place = Path(stopped.paths.scratch) / "checkpoints" / f"step-{STABLE:08d}"
    for ours, theirs in (
        (folder / "model.safetensors", place / "weights.safetensors"),
        (folder / "optimisers.safetensors", place / "optimisers.safetensors"),
    ):
        here, there = load_file(ours), load_file(theirs)
        assert here.keys() == there.keys()
        assert all(torch.equal(here[name], there[name]) for name in here)
    assert load(folder).architecture == first.architecture


def test_stopped_before_and_after_it_is_the_same(first: Run, tmp_path: Path) -> None:
    cut = run_of(tmp_path, OFTEN)
    for looks in (4, 6):
        with pytest.raises(StoppedError):
            train(cut, After(looks))
    trained(cut)
    for name in ("model.safetensors", "optimisers.safetensors", resumable.FILE):
        ours, theirs = (Path(run.paths.resumable) / name for run in (cut, first))
        assert ours.read_bytes() == theirs.read_bytes()


def test_training_goes_on_at_the_stable_rate(first: Run, tmp_path: Path) -> None:
    second = _after(first, tmp_path / "second", steps=5)
    trained(second)
    told, before = metrics(second), metrics(first)
    assert told["learning_rate"][1] == OPTIMISATION.learning_rate
    assert told["learning_rate"][5] < OPTIMISATION.learning_rate
    assert told["loss"][1] < before["loss"][1] - 0.3
    states = load_file(Path(second.paths.resumable) / "optimisers.safetensors")
    counts = {v.item() for name, v in states.items() if name.endswith("/step")}
    assert counts == {STABLE + 3}  # AdamW's count goes on: three stable steps of five
    found = resumable.read(Path(second.paths.resumable))
    assert found is not None
    assert (found.step, found.tokens) == (3, (STABLE + 3) * 8 * LENGTH)
    # Moments count too: from the weights alone the second step is another one.
    plain = _after(first, tmp_path / "plain", steps=5)
    weights = tmp_path / "weights"
    weights.mkdir()
    for path in Path(first.paths.resumable).iterdir():
        if path.name not in ("optimisers.safetensors", resumable.FILE):
            (weights / path.name).write_bytes(path.read_bytes())
    plain = replace(plain, paths=replace(plain.paths, start=str(weights)))
    trained(plain)
    assert metrics(plain)["loss"][1] == told["loss"][1]
    assert metrics(plain)["loss"][2] != told["loss"][2]


def test_stopped_it_goes_on_from_its_own_checkpoint(first: Run, tmp_path: Path) -> None:
    whole, cut = (_after(first, tmp_path / name, steps=6) for name in ("whole", "cut"))
    trained(whole)
    with pytest.raises(StoppedError):
        train(cut, After(2))
    assert trained(cut)["resumed_from_step"] == 2
    assert metrics(cut) == metrics(whole)


@pytest.mark.parametrize(
    "settings", [{"schedule": "cosine"}, {"decay_share": 1.0, "warmup_steps": 0}]
)
def test_without_a_stable_phase_it_is_the_last_state(tmp_path: Path, settings: Any) -> None:
    run = run_of(tmp_path, steps=3, **settings)
    trained(run)
    found = resumable.read(Path(run.paths.resumable))
    assert found is not None
    assert (found.step, found.stable) == (3, False)
    ours, model = (
        load_file(Path(folder) / "model.safetensors")
        for folder in (run.paths.resumable, run.paths.model)
    )
    assert all(torch.equal(ours[name], model[name]) for name in model)


def test_it_is_not_written_where_nobody_wants_it(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=3)
    trained(replace(run, paths=replace(run.paths, resumable="")))
    assert not Path(run.paths.resumable).exists()
    assert not (Path(run.paths.scratch) / "resumable").exists()


def test_another_optimiser_or_architecture_is_refused(first: Run, tmp_path: Path) -> None:
    muon = _after(first, tmp_path, optimiser="muon")
    with pytest.raises(StateError, match=r"states of adamw, and this run trains with muon: set"):
        train(muon, never())
    run = _after(first, tmp_path)
    wider = replace(run.architecture, intermediate_size=96, layers=3)
    with pytest.raises(
        ArchitectureMismatchError, match="intermediate_size 64 there, 96 here, layers 2 there, 3"
    ):
        train(replace(run, architecture=wider), never())


def test_another_parametrisation_is_refused_and_the_same_goes_on(
    first: Run, tmp_path: Path
) -> None:
    mup = Parametrisation("mup", 16, 1, 16, zero_init=False)
    other = _after(first, tmp_path / "other", parametrisation=mup)
    with pytest.raises(
        StateError, match=r"with the standard parametrisation, and this run .* mup from width 16"
    ):
        train(other, never())
    run = run_of(tmp_path / "mup", parametrisation=mup)
    trained(run)
    # First weights are no matter any more.
    again = replace(mup, zero_init=True)
    trained(_after(run, tmp_path / "again", steps=3, parametrisation=again))
    with pytest.raises(StateError, match=r"with mup from width 16, 1 layers.* heads of 32: set"):
        train(
            _after(run, tmp_path / "third", parametrisation=replace(mup, base_head_dim=32)), never()
        )


def test_what_changes_nothing_is_not_written(first: Run, tmp_path: Path) -> None:
    """States from before there was a choice stay those of the same run."""
    state = json.loads((Path(first.paths.resumable) / resumable.FILE).read_text())
    assert "parametrisation" not in state["optimisation"]
    assert "parametrisation" not in first.identity()["optimisation"]
    zero = run_of(tmp_path, parametrisation=replace(STANDARD, zero_init=True))
    assert zero.identity()["optimisation"]["parametrisation"]["zero_init"] is True


def test_another_tokenizer_is_refused(first: Run, tmp_path: Path) -> None:
    run = _after(first, tmp_path)
    path = Path(run.paths.tokenizer) / "tokenizer.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(TokenizerMismatchError, match="was trained with tokenizer"):
        train(run, never())


@pytest.mark.parametrize("damage", ["states", "state"])
def test_damaged_states_are_refused(first: Run, tmp_path: Path, damage: str) -> None:
    run = _after(first, tmp_path / "run")
    folder = tmp_path / "start"
    folder.mkdir()
    for path in Path(first.paths.resumable).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    if damage == "states":
        path = folder / "optimisers.safetensors"
        path.write_bytes(path.read_bytes()[:-4] + b"\x00\x00\x80\x3f")
    else:
        (folder / resumable.FILE).write_text(json.dumps({"format": 1, "step": 1}))
    with pytest.raises(StateError, match=r"is not the file|does not say what it is"):
        train(replace(run, paths=replace(run.paths, start=str(folder))), never())


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(first: Run, tmp_path: Path, value: float) -> None:
    run = _after(first, tmp_path / "run")
    folder = tmp_path / "start"
    folder.mkdir()
    for path in Path(first.paths.model).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.mlp.down_proj.weight"][0, 0] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsNotFiniteError, match=r"layers\.0\.mlp\.down_proj\.weight holds"):
        train(replace(run, paths=replace(run.paths, start=str(folder))), never())


def test_what_it_says_of_the_run(first: Run) -> None:
    state = json.loads((Path(first.paths.resumable) / resumable.FILE).read_text())
    assert state["architecture"] == asdict(first.architecture)
    assert state["data_id"] == first.data_id
    config = json.loads((Path(first.paths.resumable) / "config.json").read_text())
    assert state["tokenizer_sha256"] == config["tokenizer_sha256"]
