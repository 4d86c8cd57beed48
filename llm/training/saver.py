"""Saving a run as it goes, and restoring it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from llm.model.transformer import Transformer
from llm.training import checkpoints, tensor_files, training_state
from llm.training.checkpoints import Position
from llm.training.distributed import Processes
from llm.training.tensor_files import Piece


class Saver:
    """Writes checkpoints of one run and puts them back; all of its processes call it alike.

    Args:
        folder: of the checkpoints.
        identity: of the run (`Run.identity`): a checkpoint of another one is never gone on from.
        keep: how many of the newest stay.
        model, optimisers: as they are trained, sharded or not.
        say: is told what the user should know.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        keep: int,
        model: Transformer,
        optimisers: list[Optimizer],
        processes: Processes,
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._identity, self._keep, self._say = folder, identity, keep, say
        self._model, self._optimisers, self._processes = model, optimisers, processes
        if processes.first:
            checkpoints.discard_unfinished(folder)
        processes.wait()

    def save(self, position: Position) -> None:
        """Write a checkpoint.

        Raises:
            OSError: no space, or no permission; what was there stays.
        """
        aside = checkpoints.begin(self._folder, position.step)
        files = self._write(aside, position)
        gathered = self._processes.gather(files)
        if self._processes.first:
            every = {name: digest for found in gathered for name, digest in found.items()}
            place = checkpoints.complete(aside, self._identity, position, every)
            checkpoints.prune(place, self._keep)
        self._processes.wait()

    def restore(self, before: int | None = None) -> Position | None:
        """Put the newest whole checkpoint's weights and optimiser states in place.

        Args:
            before: the newest of fewer steps; where there is none, the oldest there is.

        Returns:
            Where the run was then; none where there is no checkpoint, and nothing was changed.

        Raises:
            OtherRunError: there is none, but one of a run with other data, another tokenizer or
                architecture.
        """
        place = None
        if self._processes.first:
            place = checkpoints.find(self._folder, self._identity, self._say, before)
        name = self._processes.agree(place.name if place else "")
        if not name:
            return None
        training_state.restore(self._folder / name, self._model, self._optimisers)
        return checkpoints.read_position(self._folder / name)

    def _write(self, aside: Path, position: Position) -> dict[str, str]:
        files = {}
        for kind, tensors in (
            (training_state.WEIGHTS, training_state.weights(self._model)),
            (training_state.OPTIMISERS, training_state.states(self._model, self._optimisers)),
        ):
            pieces = list(tensor_files.pieces_held(tensors, self._processes.first))
            if pieces:
                name = self._file_name(kind, pieces)
                files[name] = tensor_files.write(aside / name, pieces)
        if self._processes.first:
            files |= checkpoints.write_position(aside, position)
        return files

    def _file_name(self, kind: str, pieces: Iterable[Piece]) -> str:
        if all(tuple(piece.value.shape) == piece.shape for piece in pieces):
            return f"{kind}.safetensors"
        return f"{kind}-{self._processes.rank + 1:05d}-of-{self._processes.count:05d}.safetensors"
