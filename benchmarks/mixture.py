"""A searched mixture against the proportional one, on four sources of very different size.

    python -m benchmarks.mixture --data DIR [--home DIR]

DIR has digitalgov_md.jsonl.gz, storybooks_en.jsonl.gz, tinyshakespeare.txt.gz and three files of
Wikipedia (wikitext2_valid.txt.gz, wikitext2_test.txt.gz, wiki_articles_30.txt.gz): 1 to 12 MB each.

The stage `mix` trains its proxies, fits, proposes. `rank_correlation` is Spearman's, between what
was measured of each mixture and what a law fitted to all others says of it. Then models of both
mixtures are trained from three other seeds (first weights and order of rows), at the proxies' size
and length, and measured on the same held-out documents: `gain_over_proportional` is what the
searched one has less in bits per byte, averaged over domains that count alike, as a share of what
the proportional one has; the mean over seeds. Seconds are the search's, stages before it apart.

With --home what was built is kept, and served the next time.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import scipy
import torch

from flows.planning import planner_for
from llm.evaluation.bits_per_byte import token_losses
from llm.model import folder as model_folder
from llm.tokens.hf_folder import load_tokenizer, special_id
from llm.tokens.special_tokens import END_OF_TEXT
from tasks.engine.progress import Figure
from tasks.engine.run.build import build
from tasks.engine.run.execute import BuildRequest, BuildResult, execute
from tasks.engine.store.store import Store
from tasks.recipe import load
from tasks.registry import STAGES
from tasks.stages.mix_config import MixConfig
from tasks.stages.mix_data import HeldOut, held_out
from tasks.stages.pretrain_config import PretrainConfig

SEEDS = (1, 2, 3)
BARS = {"rank_correlation": 0.8, "gain_over_proportional": 0.01}
_PIECE = 4_000  # characters of a document cut from a long text, at a blank line
# Small enough for a minute a proxy on one core, and long enough that what it reads shows: mixtures
# lie tens of times further apart than two seeds of one.
_MIX: Mapping[str, Any] = {
    "proxies": 16,
    "hidden_size": 128,
    "layers": 2,
    "tokens": 400_000,
    "batch_tokens": 2048,
    "learning_rate": 0.01,
    "held_out_bytes": 80_000,
}
_RECIPE: Mapping[str, Any] = {
    "name": "mixture",
    "clean": {},
    "dedup": {"validation_fraction": 0.1},
    "tokenizer": {"vocabulary_size": 2048, "sample_bytes": 8_000_000},
    "pack": {"sequence_length": 256, "by_source": True},
}


class Speaking:
    """Says what stages say; a `Listener`."""

    def log(self, stage: str, message: str) -> None:
        print(f"  {stage}: {message}", file=sys.stderr)

    def progress(
        self, stage: str, done: int, total: int, unit: str, figures: dict[str, Figure]
    ) -> None:
        return  # each proxy is a line already

    def cancelled(self) -> bool:
        return False


def texts(data: Path) -> dict[str, list[str]]:
    """Documents of each source."""

    def read(name: str) -> str:
        return gzip.decompress((data / name).read_bytes()).decode("utf-8")

    def records(name: str) -> list[str]:
        return [json.loads(line)["text"] for line in read(name).split("\n") if line]

    wiki = read("wiki_articles_30.txt.gz").split("\n")
    for name in ("wikitext2_valid.txt.gz", "wikitext2_test.txt.gz"):
        wiki += re.split(r"^ (?== [^=]+ = *$)", read(name), flags=re.MULTILINE)
    return {
        "digitalgov": records("digitalgov_md.jsonl.gz"),
        "shakespeare": list(_pieces(read("tinyshakespeare.txt.gz"))),
        "storybooks": records("storybooks_en.jsonl.gz"),
        "wikipedia": [text for text in wiki if text.strip()],
    }


def _pieces(text: str) -> Iterator[str]:
    piece = ""
    for part in text.split("\n\n"):
        piece += part + "\n\n"
        if len(piece) >= _PIECE:
            yield piece
            piece = ""
    yield piece


def write_sources(documents: Mapping[str, list[str]], folder: Path) -> list[dict[str, Any]]:
    """The documents as files, and the sources of a recipe that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = []
    for name, each in documents.items():
        path = folder / f"{name}.jsonl"
        rows = [{"id": f"{name}-{number}", "text": text} for number, text in enumerate(each)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        sources.append({"name": name, "kind": "jsonl", "paths": [str(path)]})
    return sources


class Measured:
    """Trains a mixture from a seed, and measures it as the search does."""

    def __init__(self, built: Mapping[str, BuildResult], config: MixConfig) -> None:
        self._inputs = {
            "sequences": (built["pack"].artifact, "sequences"),
            "tokenizer": (built["tokenizer"].artifact, "tokenizer"),
        }
        self._config = config
        weights = built["mix"].artifact.data("weights").table()
        self.names: list[str] = weights.column("source").to_pylist()
        tokens = built["pack"].artifact.data("tokens")
        self._held: dict[str, HeldOut] = held_out(tokens, self.names, config.held_out_bytes)

    def __call__(self, weights: Mapping[str, float], seed: int) -> dict[str, float]:
        """Bits per byte by domain."""
        small = self._config.small_run().model_dump()
        mixture = [{"source": name, "weight": weight} for name, weight in weights.items() if weight]
        config = PretrainConfig.model_validate({**small, "seed": seed, "mixture": mixture})
        request = BuildRequest(STAGES["pretrain"], config, self._inputs)
        artifact = execute(request, self._inputs["sequences"][0].store).artifact
        folder = artifact.data("model").folder()
        model = model_folder.load(folder)
        end = special_id(load_tokenizer(folder), END_OF_TEXT)
        return {
            name: token_losses(
                model, torch.device("cpu"), model.architecture.context, end,
                own.arrays, own.sizes, 2048, lambda done, total: None,
            ).bits_per_byte
            for name, own in self._held.items()
        }  # fmt: skip


def main() -> None:
    """Run, print the tables, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the texts")
    parser.add_argument("--home", type=Path, help="where to build; else a folder that is removed")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of the comparison")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="FIELD=VALUE")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mixture-") as scratch:
        home = args.home or Path(scratch)
        sources = write_sources(texts(args.data), home / "texts")
        recipe = home / "mixture.yaml"
        recipe.write_text(json.dumps({**_RECIPE, "source": {"sources": sources}, "mix": _MIX}))
        _run(recipe, home, args.seeds, args.changes)


def _run(recipe: Path, home: Path, seeds: int, changes: list[str]) -> None:
    loaded = load(str(recipe), changes)
    config = loaded.configs["mix"]
    assert isinstance(config, MixConfig)
    if not config.target_tokens:  # the weights are for runs as long as the proxies
        config = config.model_copy(update={"target_tokens": config.tokens})
    plan = planner_for(loaded, str(recipe), Store(str(home)), configs={"mix": config})
    built = build(plan, Speaking())
    artifact = built["mix"].artifact
    facts, seconds = artifact.facts, artifact.manifest.timings.seconds
    measured = Measured(built, config)
    table = artifact.data("weights").table().to_pylist()
    mixtures = {
        "proportional": {row["source"]: row["proportional"] for row in table},
        "searched": {row["source"]: row["weight"] for row in table},
    }
    began, rows, gains = time.monotonic(), [], []
    for seed in SEEDS[:seeds]:
        found = {name: measured(weights, seed) for name, weights in mixtures.items()}
        average = {name: statistics.fmean(bits.values()) for name, bits in found.items()}
        gains.append(1 - average["searched"] / average["proportional"])
        for name, bits in found.items():
            rows.append({"name": name, "seed": seed, "average": average[name], **bits})
            shown = "  ".join(f"{each} {value:.4f}" for each, value in bits.items())
            print(f"{name:13} seed {seed}  average {average[name]:.4f}  {shown}", flush=True)
    for name, weights in mixtures.items():
        print(name, ", ".join(f"{each} {weight:.3f}" for each, weight in weights.items()))
    values = {
        "rank_correlation": facts["rank_correlation"],
        "gain_over_proportional": statistics.fmean(gains) if gains else 0.0,
    }
    bars = [
        {"name": name, "value": round(value, 4), "target": BARS[name], "holds": value >= BARS[name]}
        for name, value in values.items()
    ]
    for bar in bars:
        verdict = "holds" if bar["holds"] else "does not hold"
        print(f"{bar['name']}: {bar['value']} (bar {bar['target']}: {verdict})")
    print(f"search: {seconds:.0f} s; comparison: {time.monotonic() - began:.0f} s")
    record = {
        "benchmark": "mixture",
        "input": {
            "texts": measured.names,
            "proxies": facts["proxies"],
            "parameters": facts["parameters"],
            "tokens": config.tokens,
            "cores": os.cpu_count(),
            "search_seconds": round(seconds, 1),
            "law": facts["law"],
            "left_out_error": facts["left_out_error"],
            "told_gain": 1 - facts["bits_per_byte"] / facts["proportional_bits_per_byte"],
            "gains": gains,
        },
        "versions": {
            "torch": torch.__version__,
            "scipy": scipy.__version__,
            "python": platform.python_version(),
        },
        "mixtures": mixtures,
        "rows": rows,
        "bars": bars,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
