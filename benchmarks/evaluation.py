"""Benchmark tasks three ways: own kinds, lm-eval with our model behind it, lm-eval --model hf.

Every item of each set is asked of the same model folder; an item differs when a verdict on it does.

    python -m benchmarks.evaluation [--model FOLDER] [--items 200] [--sets arc_easy,copa]

Without a folder the model is a random one of the quickstart's shape, its tokenizer trained on the
questions.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evaluation_sets import (
    DATA,
    SETS,
    missing,
    own_task,
    write_harness_task,
    write_records,
)
from benchmarks.quickstart import random_folder
from llm.evaluation.tasks.answers import Answer
from llm.evaluation.tasks.subject import OwnModel
from llm.evaluation.tasks.suite import OwnTasks, Suite
from llm.model import folder as model_folder
from llm.tokens.chat import ChatEncoder
from llm.tokens.special_tokens import END_OF_TEXT

Answers = Mapping[str, list[Answer]]
_BATCH_TOKENS = 2048


def asked(suite: Suite, subject: OwnModel) -> tuple[Answers, float]:
    """Answers by task, and seconds."""
    started = time.perf_counter()
    found = {
        each.task: each.outcome.answers
        for each in suite.ask(subject, _BATCH_TOKENS, lambda what: lambda done, total: None)
    }
    return found, time.perf_counter() - started


def by_lm_eval(model: Path, tasks: Path, names: list[str]) -> tuple[dict[str, Any], float]:
    """What `lm_eval --model hf` records of each item, by task, and seconds."""
    from lm_eval import simple_evaluate

    started = time.perf_counter()
    with contextlib.chdir(tasks), contextlib.redirect_stdout(sys.stderr):
        found = simple_evaluate(
            model="hf",
            model_args={"pretrained": str(model), "dtype": "float32"},
            tasks=[f"{name}.yaml" for name in names],
            batch_size=16,
            device="cpu",
            bootstrap_iters=0,
        )
    return found["samples"], time.perf_counter() - started


def compare(name: str, own: Answers, behind: Answers, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table: means of the first measure, items that differ, and by how much."""
    ours = {each.item.rpartition(":")[2]: each for each in own[name]}
    differ, largest, right = 0, 0.0, []
    for sample, other in zip(theirs[name], behind[name], strict=True):
        mine = ours.get(str(sample["doc_id"] + 1))  # lines count from 1
        logprobs = np.array([reply[0][0] for reply in sample["resps"]])
        largest = max(largest, float(np.abs(logprobs - other.logprobs).max()))
        wanted = {key: float(sample[key]) for key in sample["metrics"] if key != "perplexity"}
        right.append(wanted["acc"])
        of_ours = [other.verdicts] + ([mine.verdicts] if mine else [])
        differ += any(got[key] != value for got in of_ours for key, value in wanted.items())
    return {
        "name": name,
        "items": len(right),
        "left_out": len(right) - len(ours),
        "own_acc": float(np.mean([each.verdicts["acc"] for each in own[name]])),
        "behind_lm_eval_acc": float(np.mean([each.verdicts["acc"] for each in behind[name]])),
        "lm_eval_hf_acc": float(np.mean(right)),
        "items_that_differ": int(differ),
        "largest_logprob_difference": largest,
    }


def main() -> None:
    """Ask, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--sets", default=",".join(SETS))
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    names = args.sets.split(",")
    absent = missing(names)
    if absent:
        raise SystemExit(f"{', '.join(absent)}: not in {DATA}; name others with --sets")
    with tempfile.TemporaryDirectory() as scratch:
        rows, seconds = measured(Path(scratch), args.model, names, args.items)
    print(
        f"{'task':32}{'items':>7}{'own':>8}{'behind':>8}{'theirs':>8}{'differ':>8}{'logprob':>10}"
    )
    for row in rows:
        print(
            f"{row['name']:32}{row['items']:7}{row['own_acc']:8.3f}{row['behind_lm_eval_acc']:8.3f}"
            f"{row['lm_eval_hf_acc']:8.3f}{row['items_that_differ']:8}"
            f"{row['largest_logprob_difference']:10.1e}"
        )
    print(", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))
    differ = sum(row["items_that_differ"] for row in rows)
    record = {
        "benchmark": "evaluation",
        "input": {
            "items": sum(row["items"] for row in rows),
            "model": args.model.name if args.model else "random",
            "seconds": seconds,
        },
        "versions": {name: version(name) for name in ("torch", "transformers", "lm-eval")},
        "rows": rows,
        "bars": [
            {
                "name": "items_that_differ_from_lm_eval",
                "value": differ,
                "target": 0,
                "holds": differ == 0,
            }
        ],
    }
    print(json.dumps(record))


def measured(
    scratch: Path, model: Path | None, names: list[str], items: int
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Rows of the table, and seconds of each way."""
    from llm.evaluation.tasks.harness import HarnessTasks

    paths = {name: write_records(scratch, name, SETS[name].file, items) for name in names}
    files = [str(write_harness_task(scratch, name, SETS[name].theirs)) for name in names]
    if model is None:
        texts = [path.read_text(encoding="utf-8") for path in paths.values()]
        # Far enough from uniform that no two answers tie.
        model = random_folder(scratch, texts, 5.0, END_OF_TEXT)
    subject = OwnModel(model_folder.load(model), ChatEncoder(model))
    tasks = OwnTasks([own_task(name, path) for name, path in paths.items()], 0)
    seconds: dict[str, float] = {}
    own, seconds["own"] = asked(tasks, subject)
    behind, seconds["behind lm-eval"] = asked(HarnessTasks(files, 0), subject)
    theirs, seconds["lm-eval hf"] = by_lm_eval(model.resolve(), scratch, names)
    return [compare(name, own, behind, theirs) for name in names], seconds


if __name__ == "__main__":
    main()
