"""Run the small chain in a process of its own, so that a test can kill it.

usage: kill_runner.py HOME CORPUS [workers] [time to live]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tasks.engine.run.build import steps
from tasks.engine.run.execute import execute
from tasks.engine.store import channels
from tasks.engine.store.store import Store
from tests.tasks.engine.small_chain import planner


class Loud:
    def log(self, stage: str, message: str) -> None:
        print(json.dumps({"stage": stage, "log": message}), flush=True)

    def progress(self, stage: str, done: int, total: int, unit: str, figures: dict) -> None:
        print(json.dumps({"stage": stage, "done": done, "total": total}), flush=True)

    def cancelled(self) -> bool:
        return False


def main() -> None:
    home, corpus, workers, time_to_live = sys.argv[1:5]
    plan = planner(Store(home), Path(corpus), shout={"workers": int(workers)})
    run = lambda request, force: execute(  # noqa: E731
        request, plan.store, Loud(), force, time_to_live=float(time_to_live)
    )
    for step in steps(plan, run):
        assert step.built is not None
        print(json.dumps({"stage": step.row.stage, "cached": step.built.cached}), flush=True)
    assert channels.resolve(plan.store, "small", "count") is not None


if __name__ == "__main__":
    main()
