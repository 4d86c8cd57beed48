"""Checkpoints of a run in progress: whole, verified, or not there.

    <folder>/step-00000120/weights.safetensors   optimisers.pt   state.json

A checkpoint is written aside and renamed into place; state.json holds the run's digest and the
SHA-256 of the other files. The two newest are kept. Reading takes the newest that verifies.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from llm.sha256 import sha256_file

_KEPT = 2
_FILES = ("weights.safetensors", "optimisers.pt")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint on disk.

    Attributes:
        step: steps that are done.
        metrics: (step, name, value) so far.
        threads: of the CPU, as found by trial, and steps a second with them; (0, 0.0) = not
            known.
        rejected: names of checkpoints that were newer and damaged.
    """

    folder: Path
    step: int
    metrics: list[tuple[int, str, float]]
    threads: tuple[int, float]
    rejected: tuple[str, ...]

    def restore(self, model: nn.Module, optimisers: list[torch.optim.Optimizer]) -> None:
        """Put its weights and optimiser states in place."""
        state = load_file(self.folder / _FILES[0])
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(state[name])
        # On the CPU: loading puts moments beside their weights and leaves AdamW's counts there.
        states = torch.load(self.folder / _FILES[1], map_location="cpu", weights_only=True)
        for optimiser, saved in zip(optimisers, states, strict=True):
            optimiser.load_state_dict(saved)


def write(
    folder: Path,
    digest: str,
    step: int,
    model: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    metrics: list[tuple[int, str, float]],
    threads: tuple[int, float],
) -> None:
    """Write one and remove all but the newest two.

    Raises:
        OSError: no space, or no permission; what was there stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"step-{step:08d}"
    aside = folder / f"step-{step:08d}.tmp"
    for cut_short in folder.glob("step-*.tmp"):
        shutil.rmtree(cut_short)
    aside.mkdir()
    weights = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters()}
    save_file(weights, aside / _FILES[0])
    torch.save([optimiser.state_dict() for optimiser in optimisers], aside / _FILES[1])
    state = {
        "run": digest,
        "step": step,
        "files": {name: sha256_file(aside / name) for name in _FILES},
        "metrics": metrics,
        "threads": threads,
    }
    (aside / "state.json").write_text(json.dumps(state), encoding="utf-8")
    for path in aside.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)
    # What claims to be further on is damaged or of another run: this one never got there.
    ahead = [other for other in _newest_first(folder) if other.name > place.name]
    for old in [*ahead, *_newest_first(folder)[len(ahead) + _KEPT :]]:
        shutil.rmtree(old)


def latest(folder: Path, digest: str) -> Checkpoint | None:
    """The newest checkpoint of this run that verifies, or none."""
    damaged: list[str] = []
    for place in _newest_first(folder):
        try:
            state: dict[str, Any] = json.loads((place / "state.json").read_text(encoding="utf-8"))
            if state["run"] != digest:
                continue
            whole = all(sha256_file(place / name) == state["files"][name] for name in _FILES)
            metrics = [(int(step), str(name), float(v)) for step, name, v in state["metrics"]]
            step, (number, rate) = int(state["step"]), state["threads"]
            threads = int(number), float(rate)
            found = Checkpoint(place, step, metrics, threads, tuple(damaged))
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        if whole:
            return found
        damaged.append(place.name)
    return None


def _newest_first(folder: Path) -> list[Path]:
    places = [path for path in folder.glob("step-*") if path.suffix != ".tmp"]
    return sorted(places, key=lambda path: path.name, reverse=True)
