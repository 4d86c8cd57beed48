"""`python -m llm.alignment run.json`: one alignment run; see docs/stage-contract.md."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

from llm.alignment.reporter import Reporter
from llm.alignment.run_file import Run, read_run
from llm.process.main import run_launched
from llm.process.parent import StopRequest


def main(arguments: list[str]) -> int:
    """Train; the exit code."""
    return run_launched("llm.alignment", arguments, read_run, _run)


def _run(run: Run) -> None:
    stop = StopRequest()
    # Before the libraries are imported: no cache outside the scratch folder.
    os.environ["HF_HOME"] = str(Path(run.scratch) / "huggingface")
    # TRL refuses several visible GPUs in one process.
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    _train(run, Reporter(), stop)


def _train(run: Run, reporter: Reporter, stop: StopRequest) -> None:
    from llm.training.denormals import flushed_denormals
    from llm.training.devices import advise_on_memory

    advice = (
        f"set {run.method}.micro_batch_size to a smaller divisor of batch_size, or lower "
        "max_length; if rows were being scored, score_tokens"
    )
    with advise_on_memory(advice), flushed_denormals():
        import_module(f"llm.alignment.methods.{run.method}").train(run, reporter, stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
