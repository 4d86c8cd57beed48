"""`ingot serve` beside `transformers serve` and llama.cpp's server, on one model.

    python -m benchmarks.serve [--model FOLDER] [--requests 64] [--threads N] [--gguf FILE]

The same conversations of mixed lengths go to each server, greedily, 64 tokens an answer, streamed,
from 1, 8, 16 and 32 clients at once. Without a model it is a random one of the quickstart's size.
transformers is measured as it comes and with continuous batching, and held against the better of
both; llama.cpp on an F16 file of the same model. Cold start is what `ingot serve` takes to its
first answer, less what Python takes to start and import torch.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import textwrap
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.serve_peers import Peer, import_seconds, ingot, llamacpp, running, transformers

CLIENTS = (1, 8, 16, 32)
BAR_CLIENTS = 16
TOKENS = 64
PLACES = 32


def make_model(folder: Path) -> Path:
    """A random model of the quickstart's size, with a tokenizer of its vocabulary."""
    from benchmarks.quickstart import random_folder
    from llm.tokens.special_tokens import TURN_END

    sources = (argparse, inspect, textwrap, random, statistics)
    texts = [Path(module.__file__).read_text() for module in sources]
    return random_folder(folder, texts, 3.0, TURN_END)


def questions(count: int) -> list[list[dict[str, str]]]:
    """Conversations of some 10 to 120 tokens, the same at every call."""
    draw = random.Random(0)
    words = (inspect.getdoc(textwrap.wrap) or "").split() + (
        inspect.getdoc(random.Random) or ""
    ).split()
    return [
        [{"role": "user", "content": " ".join(draw.choices(words, k=draw.randrange(3, 50)))}]
        for _ in range(count)
    ]


def measure(
    peer: Peer, clients: int, asked: list[list[dict[str, str]]], tokenizer: Any
) -> dict[str, Any]:
    """One row."""
    bodies = [
        {
            "model": peer.model,
            "messages": messages,
            "max_tokens": TOKENS,
            "temperature": 0,
            "stream": True,
        }
        for messages in asked
    ]
    wanted = {"host": "127.0.0.1", "port": peer.port, "clients": clients, "bodies": bodies}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serve_load"],
        input=json.dumps(wanted),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    # Of an answer that ended by itself the tokens are counted by its text.
    tokens = sum(
        TOKENS if ended == "length" else len(tokenizer.encode(text).ids)
        for text, ended in zip(found["texts"], found["ended"], strict=True)
    )
    first = sorted(found["first"])
    return {
        "name": peer.name,
        "clients": clients,
        "requests": len(asked),
        "requests_per_second": round(len(asked) / found["seconds"], 2),
        "tokens_per_second": round(tokens / found["seconds"], 1),
        "first_token_p50_ms": round(1e3 * statistics.median(first), 1),
        "first_token_p95_ms": round(1e3 * first[min(len(first) - 1, int(0.95 * len(first)))], 1),
    }


def write_gguf(folder: Path, path: Path) -> Path:
    """The model as F16, by the project's own writer."""
    from llm.export import gguf
    from llm.export.run_file import About

    about = About("bench", "A model of a benchmark.", "", (), (), ())
    gguf.write_gguf(folder, path, "f16", about)
    return path


def main() -> None:
    """Measure, and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--gguf", type=Path, help="of the same model; made where it is not given")
    parser.add_argument("--requests", type=int, default=64, help="a server and number of clients")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clients", type=int, nargs="*", default=list(CLIENTS))
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        record = compare(wanted, Path(temporary))
    for row in record["rows"]:
        print("  ".join(f"{name} {value}" if name != "name" else f"{value:<42}"
                        for name, value in row.items()))  # fmt: skip
    for bar in record["bars"]:
        print(f"{bar['name']}: {bar['value']} (target {bar['target']})")
    print(json.dumps(record))


def compare(wanted: argparse.Namespace, work: Path) -> dict[str, Any]:
    """The record that the last line shows."""
    from tokenizers import Tokenizer

    folder = wanted.model or make_model(work)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    context = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    peers = [ingot(folder, PLACES), transformers(folder, False), transformers(folder, True)]
    rows: list[dict[str, Any]] = []
    try:
        gguf = wanted.gguf or write_gguf(folder, work / "bench-F16.gguf")
        version("xllamacpp")
        peers.append(llamacpp(gguf, wanted.threads, PLACES, context))
    except (ImportError, PackageNotFoundError) as error:
        rows.append({"name": "llama.cpp", "failed": str(error)})
    cold = 0.0
    for peer in peers:
        try:
            with running(peer, wanted.threads, work / "server.log") as seconds:
                if peer is peers[0]:
                    cold = seconds - import_seconds("torch", os.environ)
                for clients in wanted.clients:
                    asked = questions(max(clients, wanted.requests if clients > 1 else 16))
                    rows.append(measure(peer, clients, asked, tokenizer))
                    print(rows[-1], file=sys.stderr)
        except RuntimeError as error:
            rows.append({"name": peer.name, "failed": str(error)})
    return {
        "benchmark": "serve",
        "input": {
            "model": str(wanted.model or "random, quickstart's size"),
            "threads": wanted.threads,
        },
        "versions": {name: version(name) for name in ("torch", "transformers", "uvicorn")},
        "rows": rows,
        "bars": bars(rows, cold),
    }


def bars(rows: list[dict[str, Any]], cold: float) -> list[dict[str, Any]]:
    """What is to hold: throughput at 16 clients against each peer, and the cold start."""

    def rate(prefix: str) -> float:
        return max(
            (
                row["tokens_per_second"]
                for row in rows
                if row["name"].startswith(prefix) and row.get("clients") == BAR_CLIENTS
            ),
            default=0.0,
        )

    ours = rate("ingot")
    found = []
    for name, peer, target in (
        ("throughput_vs_transformers", "transformers", 3.0),
        ("throughput_vs_llamacpp", "llama.cpp", 0.8),
    ):
        theirs = rate(peer)
        ratio = round(ours / theirs, 2) if theirs else None
        holds = ratio is not None and ratio >= target
        found.append({"name": name, "value": ratio, "target": target, "holds": holds})
    start = {"name": "cold_start_seconds", "value": round(cold, 2), "target": 3.0}
    return [*found, start | {"holds": cold <= 3.0}]


if __name__ == "__main__":
    main()
