"""Checkpoints of a run in progress: whole, verified, or not there.

    <folder>/step-00000120/state.json   weights.safetensors   optimisers.pt
    <folder>/step-00000240/state.json   shard-00001-....safetensors   shard-00002-....safetensors

Processes that hold the whole model write the first kind, those that share it out the second; any
number of processes reads either. A checkpoint is written aside and renamed into place; state.json
holds the run's digest and the SHA-256 of the other files. The two newest are kept. Reading takes
the newest that verifies.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llm.model.transformer import Transformer
from llm.sha256 import sha256_file
from llm.training import whole_state
from llm.training.strategy import Strategy

_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint on disk.

    Attributes:
        step: steps that are done.
        metrics: (step, name, value) so far.
        threads: of the CPU, as found by trial, and steps a second with them; (0, 0.0) = not
            known.
        rejected: names of checkpoints that were newer and damaged.
        guard: what was known of skipped steps; empty in one of an earlier version.
    """

    folder: Path
    step: int
    metrics: list[tuple[int, str, float]]
    threads: tuple[int, float]
    rejected: tuple[str, ...]
    guard: dict[str, Any]

    def restore(self, model: Transformer, optimisers: list[torch.optim.Optimizer]) -> None:
        """Put its weights and optimiser states in place."""
        if (self.folder / whole_state.WEIGHTS).exists():
            whole_state.load(self.folder, model, optimisers)
        else:
            from llm.training import sharded_state  # takes a second to import

            sharded_state.load(self.folder, model, optimisers)


def write(
    folder: Path,
    digest: str,
    step: int,
    model: Transformer,
    optimisers: list[torch.optim.Optimizer],
    metrics: list[tuple[int, str, float]],
    threads: tuple[int, float],
    strategy: Strategy,
    guard: dict[str, Any],
) -> None:
    """Write one and remove all but the newest two; all processes of a run call it.

    Raises:
        OSError: no space, or no permission; what was there stays.
    """
    place = folder / _name(step)
    aside = folder / f"{_name(step)}.tmp"
    if strategy.processes.first:
        folder.mkdir(parents=True, exist_ok=True)
        for cut_short in folder.glob("step-*.tmp"):
            shutil.rmtree(cut_short)
        aside.mkdir()
    strategy.processes.wait()
    strategy.save(aside, model, optimisers)
    strategy.processes.wait()
    if strategy.processes.first:
        _complete(aside, digest, step, metrics, threads, guard)
        _put_in_place(aside, place)
    strategy.processes.wait()


def _complete(
    aside: Path,
    digest: str,
    step: int,
    metrics: list[tuple[int, str, float]],
    threads: tuple[int, float],
    guard: dict[str, Any],
) -> None:
    """What makes a folder of weights and states a checkpoint."""
    state = {
        "run": digest,
        "step": step,
        "files": {path.name: sha256_file(path) for path in sorted(aside.iterdir())},
        "metrics": metrics,
        "threads": threads,
        "guard": guard,
    }
    (aside / "state.json").write_text(json.dumps(state), encoding="utf-8")
    for path in aside.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())


def _put_in_place(aside: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)
    # What claims to be further on is damaged or of another run: this one never got there.
    newest = _newest_first(place.parent)
    ahead = [other for other in newest if other.name > place.name]
    for old in [*ahead, *newest[len(ahead) + _KEPT :]]:
        shutil.rmtree(old)


def latest(folder: Path, digest: str, before: int | None = None) -> Checkpoint | None:
    """The newest checkpoint of this run that verifies, or none.

    Args:
        before: a step that is not in it; the oldest one there is where all of them have it.
    """
    damaged: list[str] = []
    places = _newest_first(folder)
    if before is not None:
        places = [place for place in places if place.name < _name(before)] or places[::-1]
    for place in places:
        try:
            state = _state(place)
            if state["run"] != digest:
                continue
            files = state["files"]
            whole = bool(files) and all(
                sha256_file(place / name) == files[name] for name in sorted(files)
            )
            found = _checkpoint(place, state, tuple(damaged))
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        if whole:
            return found
        damaged.append(place.name)
    return None


def verified_elsewhere(place: Path) -> Checkpoint:
    """A checkpoint that another process has found to be whole."""
    return _checkpoint(place, _state(place), ())


def _state(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "state.json").read_text(encoding="utf-8"))
    return found


def _checkpoint(place: Path, state: dict[str, Any], rejected: tuple[str, ...]) -> Checkpoint:
    metrics = [(int(step), str(name), float(v)) for step, name, v in state["metrics"]]
    number, rate = state["threads"]
    threads = (int(number), float(rate))
    guard = dict(state.get("guard", {}))
    return Checkpoint(place, int(state["step"]), metrics, threads, rejected, guard)


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _newest_first(folder: Path) -> list[Path]:
    places = [path for path in folder.glob("step-*") if path.suffix != ".tmp"]
    return sorted(places, key=lambda path: path.name, reverse=True)
