"""Run a recipe without Prefect in a process of its own, so that a test can kill it.

usage: kill_runner.py HOME RECIPE
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.store import Store
from tasks.recipe import load
from tasks.registry import STAGES


class Loud:
    """Says on standard output, a JSON object a line, how far each stage is."""

    def log(self, stage: str, message: str) -> None:
        print(json.dumps({"stage": stage, "log": message}), flush=True)

    def progress(self, stage: str, done: int, total: int, unit: str, figures: Any) -> None:
        print(json.dumps({"stage": stage, "done": done, "unit": unit}), flush=True)

    def cancelled(self) -> bool:
        return False


def main() -> None:
    home, path = sys.argv[1:3]
    recipe = load(path)
    stages = chain(STAGES, recipe.configs)
    build(Planner(stages, recipe.configs, recipe.name, Store(home), Selection()), Loud())


if __name__ == "__main__":
    main()
