"""What a run starts with: its rows of tokens and its first weights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from llm.model.initialisation import initialise
from llm.model.transformer import Transformer
from llm.tokens import token_file
from llm.tokens.token_file import TokenFile
from llm.training import resumable
from llm.training.distributed import Processes
from llm.training.run_file import Run

_SECONDS_BETWEEN_WORDS = 10.0


def open_tokens(run: Run, processes: Processes) -> TokenFile:
    """Rows of tokens: unpacked by the first process while the others wait, however long it takes.

    Raises:
        BadSequencesError: they are not of this vocabulary.
    """

    def opened() -> TokenFile:
        parts = sorted(Path(run.paths.sequences).glob("*.parquet"))
        scratch, size = Path(run.paths.scratch), run.architecture.vocabulary_size
        return token_file.build(parts, scratch, run.data_id, size)

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


def first_model(run: Run) -> Transformer:
    """With the weights of the model it goes on from, or random ones."""
    if not run.paths.start:
        model = Transformer(run.architecture)
        initialise(model, run.optimisation.seed)
        return model
    return resumable.first_model(run)
