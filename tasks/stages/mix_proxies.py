"""The small models of `mix`: what each is told, what it is known by, and that they are trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from llm.model.config_file import tokenizer_digest
from tasks.engine.identity.canonical import sha256_json
from tasks.engine.stage.out import Out
from tasks.engine.store.artifact import Inputs
from tasks.stages.mix_config import MixConfig
from tasks.stages.mix_data import HeldOut, SourceRows, write_held_out
from tasks.stages.pretrain import architecture_of, execution_of, optimisation_of
from tasks.stages.pretrain_data import sequence_length

_VERSION = 1  # of what a training of the same settings comes to
_WHOLE = "proxies/*/checkpoints/step-????????/state.json"


def train_proxies(
    config: MixConfig,
    inputs: Inputs,
    out: Out,
    rows: Mapping[str, SourceRows],
    drawn: Sequence[Mapping[str, float]],
    held: Mapping[str, HeldOut],
) -> list[dict[str, Any]]:
    """What the small models of these mixtures came to, in order.

    A finished one is kept in the home under all that decides its weights, of the text that of its
    own sources alone: whatever else of a config changes, it is not trained again.
    """
    sequences, tokenizer = inputs["sequences"], inputs["tokenizer"].folder()
    small, length = config.small_run(), sequence_length(sequences)
    batch_rows = max(1, config.batch_tokens // length)
    steps = max(1, round(config.tokens / (batch_rows * length)))
    decides = {
        "architecture": asdict(architecture_of(small, tokenizer, length)),
        "optimisation": optimisation_of(small, steps, batch_rows, False),
    }
    proxies = []
    for weights in drawn:
        text = {name: [weight, rows[name].digest] for name, weight in weights.items()}
        named = {
            "version": _VERSION,
            **decides,
            "tokenizer": tokenizer_digest(tokenizer),
            "text": text,
        }
        shares = [
            {"source": name, "weight": weight, "max_epochs": 0.0}
            for name, weight in weights.items()
        ]
        proxies.append({"name": sha256_json(named), "shares": shares})
    paths = {
        "sequences": str(sequences.folder()),
        "tokenizer": str(tokenizer),
        "start": "",
        "tokens": str(out.scratch),
        "scratch": str(out.scratch / "proxies"),
        "model": "",
        "resumable": "",
        "metrics": "",
        "result": "",
    }
    results, path = out.scratch / "proxies.json", out.scratch / "held_out.parquet"
    write_held_out(held, path)
    untold: dict[str, Any] = {"phases": [], "tasks": {"every": 0, "items": ""}}
    training = {"data_id": sequences.data_id, "paths": paths, **decides, **untold}
    record = {
        "training": {**training, "execution": execution_of(small)},
        "proxies": proxies,
        "domains": [{"name": name, "digest": each.digest} for name, each in held.items()],
        "held_out": str(path),
        "eval_batch_tokens": config.eval_batch_tokens,
        "at_once": config.at_once,
        "kept": str(out.lasting_folder("mix")),
        "results": str(results),
    }
    out.launch("llm.mixing", record, checkpoint=_WHOLE)
    found: list[dict[str, Any]] = json.loads(results.read_text(encoding="utf-8"))
    return found
