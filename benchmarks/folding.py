"""How exactly a model with µP's multipliers is the plain one they are folded into.

    python -m benchmarks.folding

Random weights with random multipliers are folded, saved as a model folder and opened by
transformers, in float32: the largest difference of logits, as a share of the largest logit, from
those of the forward pass that multiplies (`llm/model/multipliers.py`). `unfolded` is the same of
the weights without folding, which tells how much the multipliers matter; `rounding` is that of our
forward pass and transformers' with the same folded weights, which no folding can be below.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM

from benchmarks.short_runs import sized
from benchmarks.training_text import from_text
from llm.model import folder as model_folder
from llm.model import multipliers
from llm.model.architecture import Architecture
from llm.model.initialisation import initialise
from llm.model.parametrisation import Multipliers
from llm.model.transformer import Transformer
from llm.tokens.hf_folder import load_tokenizer
from llm.tokens.special_tokens import END_OF_TEXT

LARGEST = 1e-5  # relative difference of logits
_TEXT = Path(__file__).resolve().parents[1] / "docs/stages/pretrain.md"


def measure(architecture: Architecture, tokenizer: Path, seed: int) -> dict[str, Any]:
    """A row: which class opened it, and the largest relative differences."""
    generator = torch.Generator().manual_seed(seed)
    model = Transformer(architecture)
    initialise(model, seed)
    with torch.no_grad():
        for parameter in model.parameters():  # norms too, and no two tokens about as likely
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5, generator=generator)
            else:
                parameter.mul_(2)
    drawn = torch.exp(torch.empty(4).uniform_(-2, 2, generator=generator)).tolist()
    m = Multipliers(*drawn)
    tokens = torch.randint(
        architecture.vocabulary_size, (4, architecture.context), generator=generator
    )
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        place = Path(name) / "model"
        plain = multipliers.fold(model, m)
        model_folder.save(plain, place, tokenizer, END_OF_TEXT)
        opened = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
        explicit = multipliers.logits(model, tokens, m)
        largest = explicit.abs().max()
        folded, ours, unfolded = opened(tokens).logits, plain(tokens), model(tokens)
    return {
        "name": f"{type(opened).__name__}, {'tied' if architecture.tied else 'untied'}",
        "multipliers": drawn,
        "difference": float((folded - explicit).abs().max() / largest),
        "rounding": float((folded - ours).abs().max() / largest),
        "unfolded": float((unfolded - explicit).abs().max() / largest),
    }


def main() -> None:
    """Run, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        tokenizer = Path(from_text(_TEXT, 512, 64, Path(name)).tokenizer)
        size = load_tokenizer(tokenizer).get_vocab_size()
        plain = sized(args.width, args.layers, size, 64)
        for qk_norm in (True, False):
            for tied in (True, False):
                architecture = replace(plain, qk_norm=qk_norm, tied=tied)
                found = [measure(architecture, tokenizer, seed) for seed in range(args.seeds)]
                rows.append(max(found, key=lambda row: float(row["difference"])))
    print(f"{'':28} {'difference':>12} {'rounding':>12} {'unfolded':>10}")
    for row in rows:
        difference, rounding = (f"{row[key]:12.1e}" for key in ("difference", "rounding"))
        print(f"{row['name']:28} {difference} {rounding} {row['unfolded']:10.2f}")
    value = max(row["difference"] for row in rows)
    holds = value < LARGEST
    print(
        f"folding_difference: {value:.1e} (bar {LARGEST}: {'holds' if holds else 'does not hold'})"
    )
    record = {
        "benchmark": "folding",
        "input": vars(args),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "rows": rows,
        "bars": [{"name": "folding_difference", "value": value, "target": LARGEST, "holds": holds}],
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
