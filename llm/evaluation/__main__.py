"""`python -m llm.evaluation run.json`: one evaluation; see docs/stage-contract.md.

A launched process like a trainer, with nothing worth a checkpoint: SIGTERM simply ends it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from llm.evaluation.run_file import Run, read
from llm.process import events
from llm.process.main import run_launched

if TYPE_CHECKING:
    from llm.training.threads import ThreadTuner


def main(arguments: list[str]) -> int:
    """Evaluate; the exit code."""
    return run_launched("llm.evaluation", arguments, read, _evaluate)


def _evaluate(run: Run) -> None:
    """Write the tables and facts.json into the folder the run names."""
    import pyarrow.parquet as pq

    from llm.evaluation.evaluation import evaluate
    from llm.model.scoring import Report
    from llm.training.devices import CUDA_OR_CPU, advise_on_memory, find
    from llm.training.threads import ThreadTuner

    tuners: dict[str, ThreadTuner] = {}

    def begin(model: str, what: str) -> Report:
        # What a model is measured by goes as fast with the next one: no need to try again.
        if what not in tuners:
            tuners[what] = ThreadTuner(find(run.device, CUDA_OR_CPU), run.threads)
        tuners[what].enforce()
        return _Watched(f"{model}: {what}", tuners[what])

    with advise_on_memory("lower evaluate.eval_batch_tokens, which changes no result"):
        result = evaluate(run, begin)
    run.results.mkdir(parents=True, exist_ok=True)
    for name, table in result.tables.items():
        pq.write_table(table, run.results / f"{name}.parquet")
    facts = json.dumps(result.facts, indent=1, allow_nan=False)
    (run.results / "facts.json").write_text(facts, encoding="utf-8")


class _Watched:
    """Told how far a measurement is: says it on, and finds the number of threads by its pace."""

    def __init__(self, what: str, threads: ThreadTuner) -> None:
        self._what, self._threads = what, threads
        self._progress: events.Progress | None = None
        self._done, self._at = 0, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._threads.done(done - self._done, now - self._at)
        self._done, self._at = done, now
        self._progress = self._progress or events.Progress(total, self._what, 0)
        self._progress.report(done)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
