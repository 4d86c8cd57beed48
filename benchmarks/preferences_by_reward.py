"""What reinforcement learning does to the quickstart's model: the reward of held-out prompts, and
what it costs in the text it was trained on.

    ingot run --recipe quickstart
    python benchmarks/preferences_by_reward.py

Takes models, examples and documents that a recipe built, by default the quickstart in .ingot. A
reward model is trained on its preferences, from the sft model; from the dpo model GRPO then learns
by the rewards of the recipe rlhf, once a seed. Compared on the same held-out items, with 95 %
intervals of paired bootstraps: the reward (its sum, and the reward model's part), bits per byte of
validation text, and the loss of validation answers.

Bars: the lowest lower bound of the reward's change, above 0; the largest rise of bits per byte and
of the loss of answers, in nats a token. The last line is JSON.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from benchmarks.learned_by_reward import Silent, record
from llm.alignment.methods import reward, rlhf
from llm.alignment.run_file import parse_run
from llm.evaluation.bootstrap import difference
from llm.evaluation.evaluation import evaluate
from llm.evaluation.measure import mean
from llm.evaluation.run_file import read
from llm.process.parent import StopRequest

RECIPE = Path(__file__).resolve().parents[1] / "deployments" / "recipes" / "rlhf.yaml"
MAX_RISES = {"bits_per_byte": 0.05, "completion_loss": 0.15}
_RESAMPLES, _SEED = 2000, 0


def built(home: Path, recipe: str, stage: str, output: str) -> Path:
    """The folder of an output that a recipe built."""
    pointer = home / "refs" / recipe / stage / "latest.json"
    if not pointer.is_file():
        sys.exit(f"{pointer} is not there: ingot run --recipe {recipe}")
    at = json.loads(pointer.read_text())
    return home / "artifacts" / stage / at["build_id"][:16] / at["attempt"] / output


def tables(folder: Path) -> list[str]:
    """Its Parquet files, in order."""
    return [str(path) for path in sorted(folder.rglob("*.parquet"))]


def part(told: dict[str, Any]) -> dict[str, Any]:
    """A reward of the recipe as a run is told it."""
    blank = {"weight": 1.0, "expression": "", "structure": "", "minimum": 0, "maximum": 64}
    return {**blank, "seconds": 5.0, "memory_mb": 512, **told}


def trained(method: str, told: dict[str, Any]) -> None:
    """Run a method to its end."""
    train = {"reward": reward.train, "rlhf": rlhf.train}[method]
    how: Any = (parse_run(told, method), Silent(), StopRequest())
    train(*how)


def reward_model(home: Path, folder: Path, settings: dict[str, Any], o: argparse.Namespace) -> Path:
    """One trained on the recipe's preferences, from its sft model."""
    rows = pa.concat_tables(
        pq.read_table(path) for path in tables(built(home, o.recipe, "examples", "preferences"))
    )
    path = folder / "preferences.parquet"
    folder.mkdir()
    pq.write_table(_first(rows, o.pairs), path)
    told = record(
        "reward",
        built(home, o.recipe, "sft", "model"),
        path,
        folder,
        o.threads,
        **settings,
        seed=0,
        schedule="cosine",
        long_rows="cut",
        max_truncated=1.0,
        center_weight=0.01,
    )
    told["execution"].remove("micro_batch_size")
    trained("reward", told)
    return folder / "model"


def _first(rows: pa.Table, train: int) -> pa.Table:
    """All rows of validation, and so many to train on; 0 = all."""
    split = rows.column("split")
    some = rows.filter(pc.equal(split, "train"))
    return pa.concat_tables(
        [some.slice(0, train or some.num_rows), rows.filter(pc.not_equal(split, "train"))]
    )


def tuned(
    home: Path,
    folder: Path,
    settings: dict[str, Any],
    judge: Path,
    seed: int,
    o: argparse.Namespace,
) -> dict[str, Any]:
    """What one seed of reinforcement learning changed."""
    start = built(home, o.recipe, "dpo", "model")
    examples = built(home, o.recipe, "examples", "instructions")
    folder.mkdir()
    began = time.monotonic()
    told = record(
        "rlhf", start, folder, folder, o.threads, **settings, seed=seed, reward_model=str(judge)
    )
    told["examples"] = tables(examples)
    trained("rlhf", told)
    seconds = time.monotonic() - began
    held_out = pq.read_table(folder / "results" / "held_out.parquet").to_pylist()
    metrics = pq.read_table(folder / "results" / "metrics.parquet").to_pylist()
    found: dict[str, Any] = {
        "name": f"seed {seed}",
        "reward": _change(held_out, lambda row, when: row[f"reward_{when}"]),
        "reward_model": _change(
            held_out,
            lambda row, when: next(
                one["value"] for one in row[f"parts_{when}"] if one["name"] == "preferred"
            ),
        ),
        "kl": sum(row["value"] for row in metrics if row["name"] == "kl")
        / sum(row["name"] == "kl" for row in metrics),
        "steps": max(row["step"] for row in metrics),
        "seconds": seconds,
    }
    return {**found, **_of_text(home, folder, start, o)}


def _change(rows: list[dict[str, Any]], value: Any) -> dict[str, Any]:
    """Before, after, and the difference with its interval."""
    ids = tuple(row["doc_id"] for row in rows)
    before, after = (
        mean("reward", ids, pa.array([value(row, when) for row in rows]).to_numpy())
        for when in ("before", "after")
    )
    change = difference(after, before, _RESAMPLES, _SEED)
    assert change is not None
    return {"before": before.value, "after": after.value, "change": asdict(change)}


def _of_text(home: Path, folder: Path, start: Path, o: argparse.Namespace) -> dict[str, Any]:
    """Bits per byte and the loss of answers, of both models on the same items."""
    nothing: dict[str, Any] = {"files": [], "template": "{{prompt}}"}
    told = {
        "models": [
            {"name": "before", "folder": str(start), "before": ""},
            {"name": "after", "folder": str(folder / "model"), "before": "before"},
        ],
        "others": [],
        "documents": tables(built(home, o.recipe, "decontaminate", "documents")),
        "instructions": tables(built(home, o.recipe, "examples", "instructions")),
        "preferences": [],
        "attributes": [],
        **{name: [] for name in ("tasks", "lm_eval_tasks", "lm_eval_files")},
        **{name: [] for name in ("prompts", "continuations")},
        "max_items": 0,
        "held_out_items": 0,
        "rolling": False,
        "verbatim": {"index": [], "prompts": 0, "tokens": 32},
        "safety": {
            "prompts": 0,
            "harmless": nothing,
            "harmful": nothing,
            "toxic_words": [],
            "memorised_documents": 0,
            "memorised_characters": 600,
        },
        "validation_bytes": o.validation_bytes,
        "max_instructions": 300,
        "max_preferences": 0,
        "max_generated": 0,
        "new_tokens": 1,
        "resamples": _RESAMPLES,
        "seed": _SEED,
        "eval_batch_tokens": 2048,
        "threads": o.threads,
        "device": "cpu",
        "precision": "fp32",
        "results": str(folder / "evaluated"),
    }
    (folder / "evaluation.json").write_text(json.dumps(told))
    scores = evaluate(read(folder / "evaluation.json"), lambda *_: lambda *_: None).scores
    rows = {(row["model"], row["metric"]): row for row in scores.to_pylist()}
    return {
        name: {
            "before": rows["before", name]["value"],
            "after": rows["after", name]["value"],
            "change": {
                key: rows["after", f"{name}_change"][key] for key in ("value", "low", "high", "n")
            },
        }
        for name in MAX_RISES
    }


def settings_of(o: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the reward model and of rlhf: those of the recipe, and of the command line."""
    recipe = yaml.safe_load(RECIPE.read_text())
    # Whether it beats length is asked of its artifact, not of the run.
    judging = {"epochs": 1, **recipe["reward"]}
    judging.pop("must_beat_length", None)
    own = dict(recipe["rlhf"])
    own["rewards"] = [part(one) for one in own["rewards"]]
    rewarding = {
        "algorithm": "grpo",
        "epochs": 1,
        "schedule": "cosine",
        "temperature": 1.0,
        "max_kl": 1.0,
        "samples_every": 1_000_000,
        **own,
    }
    if o.prompts:
        rewarding["max_prompts"] = o.prompts
    return judging, rewarding


def main() -> None:
    """Print a line a seed and measure, and the JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("INGOT_HOME", ".ingot")))
    parser.add_argument("--recipe", default="quickstart", help="what built models and examples")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=0, help="for the reward model; 0 = all")
    parser.add_argument("--prompts", type=int, default=0, help="0 = those of the recipe rlhf")
    parser.add_argument("--validation-bytes", type=int, default=250_000)
    parser.add_argument("--threads", type=int, default=0, help="0 = whichever number is fastest")
    options = parser.parse_args()
    judging, rewarding = settings_of(options)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        judge = reward_model(options.home, folder / "reward", judging, options)
        pairs = pq.read_table(folder / "reward" / "results" / "pairs.parquet")
        margins = pairs.filter(pc.equal(pairs.column("split"), "validation")).column("margin")
        right = sum(one > 0 for one in margins.to_pylist()) / max(1, len(margins))
        print(f"reward model: right on {right:.1%} of {len(margins)} held-out pairs", flush=True)
        for seed in range(options.seeds):
            found = tuned(options.home, folder / str(seed), rewarding, judge, seed, options)
            rows.append(found)
            print(
                f"seed {seed}: {found['steps']} steps, {found['seconds']:.0f} s, mean KL "
                f"{found['kl']:.3f} nats a token",
                flush=True,
            )
            for name in ("reward", "reward_model", *MAX_RISES):
                one = found[name]
                print(
                    f"  {name:16}{one['before']:9.4f} ->{one['after']:9.4f}  "
                    f"{one['change']['value']:+.4f} ({one['change']['low']:+.4f} to "
                    f"{one['change']['high']:+.4f}, n {one['change']['n']})",
                    flush=True,
                )
    low = min(row["reward"]["change"]["low"] for row in rows)
    bars = [{"name": "reward_gain_low", "value": low, "target": 0.0, "holds": low > 0}]
    for name, most in MAX_RISES.items():
        value = max(row[name]["change"]["value"] for row in rows)
        bars.append(
            {"name": f"{name}_rise", "value": value, "target": most, "holds": value <= most}
        )
    versions = {name: importlib.metadata.version(name) for name in ("torch", "trl", "transformers")}
    told = {
        "benchmark": "preferences_by_reward",
        "input": f"models and examples of {options.recipe}; reward model right on {right:.1%} of "
        f"{len(margins)} pairs; {rewarding['max_prompts']} prompts",
    }
    print(json.dumps({**told, "versions": versions, "rows": rows, "bars": bars}))


if __name__ == "__main__":
    main()
