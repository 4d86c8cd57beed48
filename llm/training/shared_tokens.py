"""The tokens of a run, unpacked by one of its processes for all: they share the files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from llm.tokens import token_file
from llm.tokens.token_file import TokenFile
from llm.training.distributed import Processes
from llm.training.run_file import Run

_SECONDS_BETWEEN_WORDS = 10.0


def open_tokens(run: Run, processes: Processes) -> TokenFile:
    """The token file of a run; the first process unpacks it where it is not there yet.

    Raises:
        BadSequencesError, NoSpaceError: in the first process; see `token_file.build`.
        DamagedTokenFileError: another process does not find what the first one unpacked.
    """

    def opened() -> TokenFile:
        parts = sorted(Path(run.paths.sequences).glob("*.parquet"))
        folder, size = Path(run.paths.tokens), run.architecture.vocabulary_size
        return token_file.build(parts, folder, run.data_id, size)

    if processes.count == 1:
        return opened()
    with ThreadPoolExecutor(1) as pool:
        unpacking = pool.submit(opened) if processes.first else None
        while processes.any(unpacking is not None and not unpacking.done()):
            if unpacking is not None:  # waiting in one call would end with PyTorch's patience
                wait([unpacking], timeout=_SECONDS_BETWEEN_WORDS)
        tokens = unpacking.result() if unpacking is not None else None
    folder = processes.agree(str(tokens.folder) if tokens else "")
    return tokens or TokenFile.open(Path(folder))
