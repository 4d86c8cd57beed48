"""`python -m llm.evaluation.judge run.json`: one judging; see docs/stage-contract.md.

SIGTERM simply ends it: every reply is kept as it comes.
"""

from __future__ import annotations

import json
import os
import sys

from llm.evaluation.judge.run_file import Run, read
from llm.process import events
from llm.process.main import run_launched


def main(arguments: list[str]) -> int:
    """Judge; the exit code."""
    return run_launched("llm.evaluation.judge", arguments, read, _judge)


def _judge(run: Run) -> None:
    """Write the tables and facts.json into the folder the run names."""
    import pyarrow.parquet as pq

    from llm.evaluation.judge.asking import Limits
    from llm.evaluation.judge.endpoint import Access, JudgeKeyError, JudgeSettings
    from llm.evaluation.judge.judging import Prices, judge
    from llm.evaluation.judge.replies import Replies
    from llm.evaluation.judge.subjects import subjects

    key = os.environ.pop(run.key_variable, "") if run.key_variable else ""
    if run.key_variable and not key:
        raise JudgeKeyError(
            f"the variable {run.key_variable} is not set; set it to the key of the judge, or name "
            "another by judge.key_variable (empty where the endpoint asks for none)"
        )
    progress: dict[str, events.Progress] = {}

    def reporter(what: str, done: int, total: int) -> None:
        progress.setdefault(what, events.Progress(total, what, 0)).report(done)

    work, left_out = subjects(run, reporter)
    found = judge(
        work,
        JudgeSettings(run.model, run.max_reply_tokens, run.temperature),
        Access(
            run.base_url,
            key,
            run.timeout,
            run.tries,
            run.first_wait,
            run.longest_retry_after,
        ),
        Replies(run.replies),
        Limits(run.concurrency, run.max_calls, run.again),
        Prices(run.price_prompt, run.price_reply, run.currency),
        events.log,
        lambda done, total: reporter("verdict", done, total),
    )
    run.results.mkdir(parents=True, exist_ok=True)
    for name, table in found.tables.items():
        pq.write_table(table, run.results / f"{name}.parquet")
    facts = json.dumps({**found.facts, "left_out": left_out}, indent=1, allow_nan=False)
    (run.results / "facts.json").write_text(facts, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
