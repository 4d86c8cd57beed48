"""A corpus that grows by a file a day, its recipe, and a run of it in a process of its own.

usage: python -m tests.tasks.refreshed_corpus HOME RECIPE    a JSON line for each thing it does
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import yaml

from flows.planning import planner_for
from tasks.engine.run.build import steps
from tasks.engine.run.execute import execute
from tasks.engine.run.plan import Planner
from tasks.engine.store.store import Store
from tasks.recipe import load

HOLD = ["filter", "dedup", "tokenizer", "pack"]
STAGES = ("source", "clean", "annotate", "filter", "dedup", "decontaminate", "tokenizer", "pack")
_TEXT = """
river town water bridge stone people morning market letter garden window summer winter road field
house music silver paper story light shadow forest island harbour captain sailor engine the a of
and to in was with for on
"""
_WORDS = _TEXT.split()


def write_day(folder: Path, day: int, documents: int = 40) -> None:
    """Documents of a day: some new, some near-copies of earlier ones, longer than those."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(day)
    rows = []
    for number in range(documents):
        whose = random.Random(chance.randrange(day * 30 + 30))  # of its text: often one of before
        text = [whose.choice(_WORDS) for _ in range(60 + whose.randrange(120))]
        more = [chance.choice(_WORDS) for _ in range(chance.randrange(8))]
        rows.append(
            {
                "url": f"https://example.org/{day}/{number}",
                "text": " ".join([*text, *more]),
                "date": f"2026-01-{day + 1:02}T00:00:{number % 60:02}Z",
            }
        )
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"day{day}.jsonl").write_text(lines, encoding="utf-8")


def write_recipe(place: Path, name: str = "growing", **changes: Any) -> Path:
    """From the files beside it to sequences."""
    own = {"workers": 1}
    questions = place / "questions.jsonl"
    asked = " ".join(random.Random(-1).choices(_WORDS, k=30))
    questions.write_text(json.dumps({"question": asked}) + "\n", encoding="utf-8")
    source = {"name": "days", "kind": "jsonl", "paths": [str(place / "days")]}
    recipe: dict[str, Any] = {
        "name": name,
        "hold": HOLD,
        "source": {"sources": [source], **own},
        "clean": own,
        "annotate": own,
        "filter": {"rules": [{"column": "word_count", "keep_fraction": 0.8}], **own},
        "dedup": {
            "keep": ["first_seen", "longest", "doc_id"],
            "validation_fraction": 0.2,
            **own,
        },
        "decontaminate": {
            "evaluation_sets": [{"name": "asked", "paths": [str(questions)]}],
            **own,
        },
        "tokenizer": {"vocabulary_size": 384, "sample_bytes": 20_000},
        "pack": {"sequence_length": 64, **own},
    }
    path = place / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe | changes), encoding="utf-8")
    return path


def plan_of(home: Path, recipe: Path) -> Planner:
    """A planner for that recipe on that home."""
    return planner_for(load(str(recipe)), str(recipe), Store(str(home)))


class _Loud:
    def log(self, stage: str, message: str) -> None:
        """Nobody waits for what is said."""

    def progress(self, stage: str, done: int, total: int, unit: str, figures: Any) -> None:
        print(json.dumps({"stage": stage, "done": done}), flush=True)

    def cancelled(self) -> bool:
        return False


def main() -> None:
    home, recipe = map(Path, sys.argv[1:3])
    plan = plan_of(home, recipe)
    run = lambda request, force: execute(request, plan.store, _Loud(), force)  # noqa: E731
    for step in steps(plan, run):
        assert step.built is not None
        done = {"stage": step.row.stage, "cached": step.built.cached}
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
