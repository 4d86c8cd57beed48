"""Saving a run as it goes, and restoring it.

A checkpoint is written by a thread while steps go on: what it is to hold is copied first. The
process of a run that is alone puts it in place itself. Several agree at the end of a step that all
of them have written their files, and then the first one does; no collective is called beside those
of training.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from llm.errors import ExpectedError
from llm.model.transformer import Transformer
from llm.training import checkpoints, tensor_files, training_state
from llm.training.checkpoints import Position
from llm.training.distributed import Processes
from llm.training.host_copy import Files, HostCopy
from llm.training.tensor_files import Piece

_PROBLEM = ""  # in the place of files: why they could not be written


class CheckpointError(ExpectedError, OSError):
    """A checkpoint could not be written; those before it are there."""


@dataclass(frozen=True)
class _Write:
    """A checkpoint in the making; the future has name -> SHA-256 of this process's files."""

    position: Position
    aside: Path
    future: Future[dict[str, str]]


class Saver:
    """Writes checkpoints of one run and puts them back; all of its processes call it alike, in
    their main threads.

    Args:
        folder: of the checkpoints.
        identity: of the run (`Run.identity`): a checkpoint of another one is never gone on from.
        keep: how many of the newest stay.
        model, optimisers: as they are trained, sharded or not.
        say: is told what the user should know.
        aside, at: the checkpoint of step `at`, if there is one, is kept in the folder `aside` too.
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
        aside: Path | None = None,
        at: int = 0,
    ) -> None:
        self._folder, self._identity, self._keep, self._say = folder, identity, keep, say
        self._model, self._optimisers, self._processes = model, optimisers, processes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._aside, self._at = aside, at
        self._copy = HostCopy()
        self._write: _Write | None = None
        if processes.first:
            checkpoints.discard_unfinished(folder)
        processes.wait()

    @property
    def writing(self) -> bool:
        """Whether a checkpoint is being written: the next one would wait for it."""
        return self._write is not None

    def save(self, position: Position) -> None:
        """Begin to write a checkpoint; the one before is finished first.

        Where memory has no room for a copy it is written before this returns.

        Raises:
            CheckpointError: the one before could not be written.
        """
        self.finish()
        # What it is made of goes on changing.
        tensors = {name: value.detach().cpu().clone() for name, value in position.tensors.items()}
        position = replace(position, metrics=list(position.metrics), tensors=tensors)
        files = self._files()
        copied = self._copy.take(files)
        aside = self._folder / f"{checkpoints.place_name(position.step)}.tmp"
        future = self._thread.submit(self._write_files, aside, position, copied or files)
        if copied is None:
            wait([future])
        self._write = _Write(position, aside, future)

    def settle(self) -> None:
        """Look after the checkpoint being written; at the end of every step.

        Raises:
            CheckpointError: it could not be written.
        """
        write = self._write
        if write is None or self._processes.any(not write.future.done()):
            return
        self._write = None
        problem = write.future.exception()
        if self._processes.count > 1:
            problem = self._put_in_place(write, problem)
        if problem is None:
            return
        if self._processes.first:
            shutil.rmtree(write.aside, ignore_errors=True)
        if not isinstance(problem, OSError):
            raise problem
        raise CheckpointError(
            f"the checkpoint of step {write.position.step} could not be written: {problem}. "
            f"Those before it are in {self._folder}"
        ) from problem

    def finish(self) -> None:
        """Wait until the checkpoint being written is there.

        Raises:
            CheckpointError: it could not be written.
        """
        if self._write is not None:
            wait([self._write.future])
            self.settle()

    def kept(self, step: int) -> tuple[Path, bool]:
        """The checkpoint that was kept aside, and whether it is: else that of this step."""
        if self._aside is not None and checkpoints.is_of(self._aside, self._identity):
            return self._aside, True
        return self._folder / checkpoints.place_name(step), False

    def close(self) -> None:
        """Wait until nothing is written any more, whatever becomes of it."""
        self._thread.shutdown()

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
        self.finish()
        place = None
        if self._processes.first:
            place = checkpoints.find(self._folder, self._identity, self._say, before)
        name = self._processes.agree(place.name if place else "")
        if not name:
            return None
        training_state.restore(self._folder / name, self._model, self._optimisers)
        return checkpoints.read_position(self._folder / name)

    def _files(self) -> Files:
        """What this process is to write of weights and states, by file."""
        files = {}
        for kind, tensors in (
            (training_state.WEIGHTS, training_state.weights(self._model)),
            (training_state.OPTIMISERS, training_state.states(self._model, self._optimisers)),
        ):
            pieces = list(tensor_files.pieces_held(tensors, self._processes.first))
            if pieces:
                # By name: what was restored has its states in another order.
                files[self._file_name(kind, pieces)] = sorted(pieces, key=lambda p: p.name)
        return files

    def _file_name(self, kind: str, pieces: Sequence[Piece]) -> str:
        if all(tuple(piece.value.shape) == piece.shape for piece in pieces):
            return f"{kind}.safetensors"
        return f"{kind}-{self._processes.rank + 1:05d}-of-{self._processes.count:05d}.safetensors"

    def _write_files(self, aside: Path, position: Position, files: Files) -> dict[str, str]:
        """In the thread: write them; alone, put the checkpoint in place as well."""
        self._copy.wait()
        aside.mkdir(parents=True, exist_ok=True)
        digests = {name: tensor_files.write(aside / name, held) for name, held in files.items()}
        if self._processes.first:
            digests |= checkpoints.write_position(aside, position)
        if self._processes.count == 1:
            self._complete(aside, position, digests)
        return digests

    def _complete(self, aside: Path, position: Position, digests: Mapping[str, str]) -> None:
        place = checkpoints.complete(aside, self._identity, position, digests)
        if self._aside is not None and position.step == self._at:
            checkpoints.keep_aside(place, self._aside)
        checkpoints.prune(place, self._keep)

    def _put_in_place(self, write: _Write, problem: BaseException | None) -> BaseException | None:
        """Of several processes the first one does, if all have written; what went wrong."""
        mine = {_PROBLEM: str(problem)} if problem else write.future.result()
        every = {name: d for found in self._processes.gather(mine) for name, d in found.items()}
        if self._processes.first and _PROBLEM not in every:
            try:
                self._complete(write.aside, write.position, every)
            except OSError as error:
                problem = error
        told = self._processes.agree(every.get(_PROBLEM, str(problem or "")))
        return problem or (OSError(told) if told else None)
