"""`python -m llm.training run.json`: alone, or under torchrun; see docs/stage-contract.md."""

from __future__ import annotations

import sys

from llm.process.main import run_launched
from llm.process.parent import StopRequest
from llm.training.run_file import Run, read


def main(arguments: list[str]) -> int:
    """Train; the exit code."""
    return run_launched("llm.training", arguments, read, _train)


def _train(run: Run) -> None:
    stop = StopRequest()  # compiling ends at SIGTERM too, and so does importing
    from llm.training.denormals import flushed_denormals
    from llm.training.loop import train

    with flushed_denormals():
        train(run, stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
