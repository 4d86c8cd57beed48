"""A model that goes on with a corpus that has grown, against one trained from scratch on all of it.

    python -m benchmarks.continued_model --tokens 4.5e6

Trains the quickstart's model on the documentation of all its packages but some, adds those, lets it
go on as `ingot learn` does, and trains another from scratch on everything. Both are measured on the
same validation documents. Whatever the home has already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

from flows.home import open_store, prepare_environment
from flows.learn_plan import question
from flows.planning import planner
from tasks.comparison.comparing import change_text, compare
from tasks.comparison.contenders import contender
from tasks.engine.progress import Figure
from tasks.engine.run.build import build
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.recipe import load

_BASE = "quickstart"
_LEFT_OUT = ("quality", "examples", "sft", "dpo", "export", "report")
_MEASURE = "bits_per_byte"
BARS = {"relative_loss": 0.005, "share_of_tokens": 0.25}


class Speaking:
    """Prints what stages say; a `Listener`."""

    def log(self, stage: str, message: str) -> None:
        print(f"  {stage}: {message}", file=sys.stderr)

    def progress(
        self, stage: str, done: int, total: int, unit: str, figures: dict[str, Figure]
    ) -> None:
        return

    def cancelled(self) -> bool:
        return False


def recipe(args: argparse.Namespace, held_back: list[str]) -> str:
    """Write the recipe of the corpus without some packages; its path."""
    [source] = load(_BASE).configs["source"].model_dump()["sources"]
    wanted = args.packages or source["distributions"]
    packages = [name for name in wanted if name not in held_back]
    record: dict[str, Any] = {
        "extends": _BASE,
        "name": "grown",
        "source": {"sources": [{"name": "pydocs", "kind": "pydocs", "distributions": packages}]},
        # What learns from the corpus stays what it was before it grew; cuts by rank would move.
        "filter": {"rules": [{"column": "language", "allowed": ["en"]}]},
        "tokenizer": {"from_folder": str(args.folder / "tokenizer")},
        "pretrain": {
            "tokens": int(args.tokens),
            "decay_share": args.decay_share,
            "compile": args.tokens > 2e6,  # below, it takes longer than it saves
        },
        "evaluate": {
            "validation_bytes": args.validation_bytes,
            "max_generated": 0,
            "prompts": [],
            "continuations": ["Return the"],
            "held_out_items": 0,
            "safety_prompts": 0,
            "memorised_documents": 0,
        },
        "learn": {"tokens": args.share, "replay": args.replay},
        **dict.fromkeys(_LEFT_OUT),
    }
    path: Path = args.folder / "grown.yaml"
    path.write_text(yaml.safe_dump(record), encoding="utf-8")
    return str(path)


def make_tokenizer(args: argparse.Namespace, held_back: list[str]) -> None:
    """The tokenizer of the corpus before it grows, in a folder that both recipes take it from."""
    folder: Path = args.folder / "tokenizer"
    if folder.exists():
        return
    path = args.folder / "before.yaml"
    record = yaml.safe_load(Path(recipe(args, held_back)).read_text(encoding="utf-8"))
    del record["tokenizer"]
    path.write_text(yaml.safe_dump(record | {"name": "before"}), encoding="utf-8")
    plan = planner(str(path))
    wanted = [name for name in plan.chain.stages if name in plan.chain.ancestors("tokenizer")]
    done = build(planner(str(path), only=wanted), Speaking())
    made = done["tokenizer"].artifact.data("tokenizer").folder()
    folder.mkdir()
    for file in made.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())


def tokens_of(model: Artifact) -> int:
    return int(model.facts["training"]["tokens"])


def main() -> None:
    """Run, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(".ingot-continued"))
    parser.add_argument("--tokens", type=float, default=4.5e6, help="from scratch")
    parser.add_argument("--share", type=float, default=0.25, help="of those, to go on with")
    parser.add_argument("--replay", type=float, default=0.25)
    parser.add_argument("--decay-share", type=float, default=0.2, help="from scratch")
    parser.add_argument("--validation-bytes", type=int, default=1_000_000)
    parser.add_argument(
        "--packages", nargs="+", metavar="PACKAGE", help="of the whole corpus; all the quickstart's"
    )
    parser.add_argument("--new", nargs="+", default=["networkx", "mypy"], metavar="PACKAGE")
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    os.environ["INGOT_HOME"] = str(args.folder / "home")
    prepare_environment()
    make_tokenizer(args, args.new)

    store = open_store()
    before = build(planner(recipe(args, args.new)), Speaking())
    for each in before.values():
        channels.point(store, "grown", each.artifact, "prod")
    grown = recipe(args, [])
    plan = planner(grown)
    corpus = [name for name in plan.chain.stages if name in plan.chain.ancestors("pack")]
    build(planner(grown, only=corpus), Speaking())
    asked = question(grown)
    whole = asked.whole()
    continued = build(whole, Speaking())
    scratch = build(planner(grown), Speaking())

    models = {
        "before": contender("before", continued["evaluate"].artifact, "champion"),
        "continued": contender("continued", continued["evaluate"].artifact),
        "from scratch": contender("from scratch", scratch["evaluate"].artifact),
    }
    trained = {
        "before": before["pretrain"].artifact,
        "continued": continued["pretrain"].artifact,
        "from scratch": scratch["pretrain"].artifact,
    }
    found = compare([models["from scratch"], models["before"], models["continued"]], [_MEASURE])
    rows = []
    for name, one in models.items():
        change = [r for r in found.rows if r.model == one.label]
        rows.append(
            {
                "name": name,
                "tokens": tokens_of(trained[name]),
                "bits_per_byte": round(one.measures[_MEASURE].value, 4),
                "seconds": round(trained[name].manifest.timings.seconds, 1),
                "against_scratch": change_text(change[0].difference) if change else "",
            }
        )
    by_name = {str(row["name"]): row for row in rows}
    chosen = continued["replay"].artifact.facts
    ratio = by_name["continued"]["bits_per_byte"] / by_name["from scratch"]["bits_per_byte"]
    measured = {
        "relative_loss": ratio - 1,
        "share_of_tokens": by_name["continued"]["tokens"] / by_name["from scratch"]["tokens"],
    }
    print(
        f"{'':14} {'tokens':>10} {'bits a byte':>11} {'seconds':>8}   against from scratch (95 %)"
    )
    for row in rows:
        print(
            f"{row['name']:14} {row['tokens']:>10,} {row['bits_per_byte']:>11.4f} "
            f"{row['seconds']:>8.0f}   {row['against_scratch']}"
        )
    print(
        f"new: {chosen['new_rows']:,} rows, {chosen['new_tokens']:,} tokens; "
        f"{chosen['replayed_rows']:,} rows repeated"
    )
    bars = [
        {
            "name": name,
            "value": round(value, 4),
            "target": BARS[name],
            # Rows are whole, and batches too: a step more than the share is no more of it.
            "holds": round(value, 2 if name == "share_of_tokens" else 4) <= BARS[name],
        }
        for name, value in measured.items()
    ]
    for bar in bars:
        verdict = "holds" if bar["holds"] else "does not hold"
        print(f"{bar['name']}: {bar['value']} (bar {bar['target']}: {verdict})")
    record = {
        "benchmark": "continued_model",
        "input": {
            "recipe": _BASE,
            "new": args.new,
            "replay": args.replay,
            "decay_share": args.decay_share,
            **chosen,
            "cores": os.cpu_count(),
        },
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "rows": rows,
        "bars": bars,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
