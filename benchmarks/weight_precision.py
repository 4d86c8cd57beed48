"""What narrow weights cost: bits per byte of a model in float32, bfloat16, and int8 steps.

    python -m benchmarks.weight_precision MODEL_FOLDER texts.jsonl.gz

Weights are rounded as `ingot generate --precision` keeps them, and the documents scored as the
`evaluate` stage does, in float32: what is measured is the rounding of weights alone.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import torch

from llm.evaluation.bits_per_byte import document_losses
from llm.evaluation.tasks.subject import OwnModel
from llm.model.folder import load
from llm.model.transformer import Transformer
from llm.model.weight_matrix import int8_steps
from llm.tokens.chat import ChatEncoder


@torch.no_grad()
def rounded(folder: Path, precision: str) -> Transformer:
    """The model with its weights as that precision keeps them."""
    model = load(folder)
    for parameter in model.parameters():
        if precision == "bf16" and parameter.ndim == 2:
            parameter.copy_(parameter.bfloat16())
        if precision == "int8" and parameter.ndim == 2:
            if model.architecture.tied and parameter is model.model.embed_tokens.weight:
                continue  # rows are looked up in it as they are; the product is rounded below
            steps, scale = int8_steps(parameter)
            parameter.copy_(steps * scale[:, None])
    if precision == "int8" and model.architecture.tied:
        steps, scale = int8_steps(model.lm_head.weight)
        model.lm_head.weight = torch.nn.Parameter(steps * scale[:, None])
    return model


def main() -> None:
    """Score, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("texts", type=Path, help=".jsonl with a field `text`, or .jsonl.gz")
    parser.add_argument("--documents", type=int, default=200)
    args = parser.parse_args()
    content = args.texts.read_bytes()
    if args.texts.suffix == ".gz":
        content = gzip.decompress(content)
    lines = [line for line in content.decode().split("\n") if line][: args.documents]
    texts = [json.loads(line)["text"] for line in lines]
    encoder = ChatEncoder(args.folder)
    rows: list[dict[str, object]] = []
    first = 0.0
    for precision in ("fp32", "bf16", "int8"):
        subject = OwnModel(rounded(args.folder, precision), encoder)
        losses = document_losses(subject, texts, 4096, lambda *_: None)
        value = losses.bits_per_byte
        first = first or value
        rows.append({"name": precision, "bits_per_byte": round(value, 5)})
        print(f"{precision:5} {value:.5f} bits per byte, {value / first - 1:+.3%}")
    record = {
        "benchmark": "weight_precision",
        "input": {"documents": len(texts)},
        "versions": {"torch": torch.__version__},
        "rows": rows,
        "bars": [],
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
