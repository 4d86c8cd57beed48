"""Checkpoints of a run in progress: whole, verified, or not there.

    <folder>/step-00000120/state.json               what run it is of, where that was, digests
                           weights.safetensors      optimisers.safetensors      whole, or a piece
                           weights-00002-of-00004.safetensors ...               a process of each
                           metrics.parquet          extra.safetensors
    <folder>/step-00000240.tmp/                     being written

Written aside and renamed into place, once every file is on the disk. Reading takes the newest one
that verifies; any number of processes reads what any other number wrote.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from torch import Tensor

from llm.errors import ExpectedError
from llm.sha256 import sha256_file
from llm.tables import METRICS
from llm.training.tensor_files import Piece, TensorFiles, write
from llm.training.training_state import WEIGHTS

_FORMAT = 2  # the first kept optimiser states as a pickle
_STATE, _METRICS, _EXTRA = "state.json", "metrics.parquet", "extra.safetensors"
# Without these a run is another one, and not the same one with other settings.
_DECIDING = ("data_id", "tokenizer", "architecture")


class OtherRunError(ExpectedError, ValueError):
    """The checkpoints in a folder are of another run; names what differs."""


@dataclass(frozen=True)
class Position:
    """Where a run is, beside its weights and optimiser states.

    Attributes:
        step: steps that are done.
        metrics: (step, name, value) so far.
        threads: of the CPU, as found by trial, and steps a second with them; (0, 0.0) = not
            known.
        extra: JSON values, by the name of whoever keeps them.
        tensors: small ones, by name, the same in all processes.
    """

    step: int
    metrics: list[tuple[int, str, float]]
    threads: tuple[int, float] = (0, 0.0)
    extra: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


def discard_unfinished(folder: Path) -> None:
    """Remove what earlier starts were in the middle of writing."""
    for cut_short in folder.glob("step-*.tmp"):
        shutil.rmtree(cut_short)


def write_position(aside: Path, position: Position) -> dict[str, str]:
    """Write what is no tensor of the model; name -> SHA-256 of the files that can be long.

    Raises:
        OSError: no space, or no permission.
    """
    columns = zip(*position.metrics, strict=True) if position.metrics else ([], [], [])
    pq.write_table(pa.table(list(map(list, columns)), schema=METRICS), aside / _METRICS)
    _flush(aside / _METRICS)
    digests = {_METRICS: sha256_file(aside / _METRICS)}
    if position.tensors:
        pieces = [
            Piece(name, value.detach(), tuple(value.shape), (0,) * value.ndim)
            for name, value in sorted(position.tensors.items())
        ]
        digests[_EXTRA] = write(aside / _EXTRA, pieces)
    return digests


def complete(
    aside: Path, identity: Mapping[str, Any], position: Position, files: Mapping[str, str]
) -> Path:
    """Make a folder, all of whose files are written, a checkpoint; where it is now.

    Args:
        files: name -> SHA-256.

    Raises:
        OSError: no space, or no permission; what was there stays.
    """
    state = {
        "format": _FORMAT,
        "run": identity,
        "step": position.step,
        "threads": position.threads,
        "extra": position.extra,
        "files": files,
    }
    (aside / _STATE).write_text(json.dumps(state), encoding="utf-8")
    _flush(aside / _STATE)
    place = aside.with_suffix("")
    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)
    _flush(place.parent)
    return place


def link(file: Path, other: Path) -> None:
    """Let a file lie in another place as well: once on the disk, where one file system has both."""
    other.unlink(missing_ok=True)
    try:
        os.link(file, other)
    except OSError:
        shutil.copyfile(file, other)


def keep_aside(place: Path, folder: Path) -> None:
    """Let a checkpoint lie in another folder as well, where none is removed."""
    aside = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for file in place.iterdir():
        link(file, aside / file.name)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def is_of(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a folder holds a whole checkpoint of this run."""
    try:
        return bool(_verified_state(folder)["run"] == identity)
    except _UnusableError:
        return False


def prune(place: Path, keep: int) -> None:
    """Remove all but the newest, up to this one. What claims to be further on is damaged, of
    another run, or was gone back from: this one never got there."""
    newest = _newest_first(place.parent)
    ahead = [other for other in newest if other.name > place.name]
    for old in [*ahead, *newest[len(ahead) + keep :]]:
        shutil.rmtree(old)


def find(
    folder: Path,
    identity: Mapping[str, Any],
    say: Callable[[str], None],
    before: int | None = None,
) -> Path | None:
    """The newest checkpoint of this run that verifies, or none.

    Args:
        say: is told of those that were passed over, and why.
        before: look only at those of fewer steps; where there are none, at the oldest first.

    Raises:
        OtherRunError: there is none, and one of a run with other data, another tokenizer or
            architecture.
    """
    other: tuple[Path, Any] | None = None
    places = _newest_first(folder)
    if before is not None:
        earlier = [place for place in places if place.name < place_name(before)]
        places = earlier or places[::-1]
    for place in places:
        try:
            state = _verified_state(place)
        except _UnusableError as why:
            say(f"checkpoint {place.name} was passed over: {why}")
            continue
        if state["run"] == identity:
            return place
        other = other or (place, state["run"])
    if other is not None:
        differ = list(_differences(other[1], identity))
        if any(name.partition(".")[0] in _DECIDING for name, _, _ in differ):
            raise OtherRunError(_of_another_run(other[0], differ))
        told = ", ".join(f"{name} {there} there, {here} here" for name, there, here in differ)
        say(f"checkpoint {other[0].name} is of other settings and was passed over: {told}")
    return None


class _UnusableError(Exception):
    """Why a checkpoint cannot be used."""


def _verified_state(place: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((place / _STATE).read_text(encoding="utf-8"))
        if "format" not in state and "run" in state:
            raise _UnusableError("an earlier version of Ingot wrote it")
        files = state["files"]
        if state["format"] != _FORMAT or not files or not isinstance(state["run"], dict):
            raise _UnusableError("it is not of this version's form")
        for name in sorted(files):
            if sha256_file(place / name) != files[name]:
                raise _UnusableError(f"{name} is damaged")
        if name := weight_that_is_no_number(place):
            raise _UnusableError(f"{name} holds values that are no numbers")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise _UnusableError(f"it is damaged ({type(error).__name__}: {error})") from error
    return state


def weight_that_is_no_number(folder: Path) -> str:
    """The name of a weight that holds NaN or an infinity; "" = all are numbers."""
    with TensorFiles(sorted(folder.glob(f"{WEIGHTS}*.safetensors"))) as files:
        for name in files:
            for piece in files.pieces(name):
                if not bool(torch.isfinite(piece).all()):
                    return name
    return ""


def read_position(place: Path) -> Position:
    """Where the run was, by a checkpoint that was found to be whole."""
    state = json.loads((place / _STATE).read_text(encoding="utf-8"))
    table = pq.read_table(place / _METRICS, schema=METRICS)
    rows = zip(*(table.column(name).to_pylist() for name in METRICS.names), strict=True)
    tensors = {}
    if (place / _EXTRA).exists():
        with TensorFiles([place / _EXTRA]) as files:
            tensors = {name: files.read(name) for name in files}
    number, rate = state["threads"]
    return Position(state["step"], list(rows), (number, rate), state["extra"], tensors)


def _differences(there: Any, here: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for name in sorted(there.keys() | here.keys()):
            yield from _differences(there.get(name), here.get(name), f"{at}.{name}" if at else name)
    elif there != here:
        yield at, _short(there), _short(here)


def _short(value: Any) -> Any:
    """Digests by what tells them apart."""
    return value[:12] if isinstance(value, str) and len(value) == 64 else value


def _of_another_run(place: Path, differ: list[tuple[str, Any, Any]]) -> str:
    told = ", ".join(
        f"{name} {there} there, {here} here"
        for name, there, here in differ
        if name.partition(".")[0] in _DECIDING
    )
    return (
        f"{place} is a checkpoint of another run: {told}. It is left as it is; give this run a "
        "scratch folder of its own, or remove that one"
    )


def place_name(step: int) -> str:
    """Of the folder of a checkpoint."""
    return f"step-{step:08d}"


def _newest_first(folder: Path) -> list[Path]:
    places = [path for path in folder.glob("step-*") if path.suffix != ".tmp"]
    return sorted(places, key=lambda path: path.name, reverse=True)


def _flush(path: Path) -> None:
    """Make sure that a file, or what a folder lists, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(PermissionError):  # some file systems do not do folders
            os.fsync(handle)
    finally:
        os.close(handle)
