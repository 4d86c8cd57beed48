"""`python -m llm.evaluation run.json`: one evaluation; see docs/stage-contract.md.

A launched process like a trainer, with nothing worth a checkpoint: SIGTERM simply ends it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from llm import events
from llm.evaluation.run_file import Run, read
from llm.lifeline import exit_with_parent


def main(path: Path) -> None:
    """Write scores.parquet, samples.parquet and facts.json into the folder the run names."""
    with events.launched():
        exit_with_parent()
        _evaluate(read(path))


def _evaluate(run: Run) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import pyarrow.parquet as pq
    import torch

    from llm.evaluation.evaluation import evaluate
    from llm.evaluation.logprobs import Report
    from llm.training.devices import MEMORY_ERRORS, DoesNotFitError, is_out_of_memory

    if run.threads:
        torch.set_num_threads(run.threads)

    def begin(what: str) -> Report:
        progress: list[events.Progress] = []

        def report(done: int, total: int) -> None:
            if not progress:
                progress.append(events.Progress(total, what, 0))
            progress[0].report(done)

        return report

    try:
        result = evaluate(run, begin)
    except MEMORY_ERRORS as error:
        if not is_out_of_memory(error):
            raise
        raise DoesNotFitError(
            f"memory does not suffice ({str(error) or type(error).__name__}); lower "
            "evaluate.batch_tokens, which changes no result"
        ) from error
    run.results.mkdir(parents=True, exist_ok=True)
    pq.write_table(result.scores, run.results / "scores.parquet")
    pq.write_table(result.samples, run.results / "samples.parquet")
    facts = json.dumps(result.facts, indent=1, allow_nan=False)
    (run.results / "facts.json").write_text(facts, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
