"""The server's benchmark: its clients, its rows, its bars."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import openai
from tokenizers import Tokenizer

from benchmarks.serve import TOKENS, bars, make_model, measure, questions
from benchmarks.serve_peers import Peer
from llm.model import folder as model_folder
from llm.process.safe_path import CHECKOUT
from tests.llm.serving.api.serving_process import Serving


def test_its_clients_get_what_others_get(
    server: Serving, client: openai.OpenAI, tiny: Path
) -> None:
    port = urlsplit(server.address).port
    assert port is not None
    asked = questions(12)
    peer = Peer("ingot serve", (), "tiny", port)
    row = measure(peer, 4, asked, Tokenizer.from_file(str(tiny / "tokenizer.json")))
    assert row["requests"] == 12
    assert row["tokens_per_second"] > row["requests_per_second"] > 0
    assert 0 < row["first_token_p50_ms"] <= row["first_token_p95_ms"]
    bodies = [
        {"model": "tiny", "messages": one, "max_tokens": 9, "temperature": 0, "stream": True}
        for one in asked[:3]
    ]
    wanted = {"host": "127.0.0.1", "port": port, "clients": 1, "bodies": bodies}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serve_load"],
        cwd=CHECKOUT,
        input=json.dumps(wanted),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    texts = [
        client.chat.completions.create(
            model="tiny",
            messages=one,
            max_tokens=9,
            temperature=0,  # type: ignore[arg-type]
        )
        .choices[0]
        .message.content
        for one in asked[:3]
    ]
    # They take them from the end.
    assert json.loads(done.stdout)["texts"] == texts[::-1]


def test_its_model_is_of_the_quickstarts_size(tmp_path: Path) -> None:
    model = model_folder.load(make_model(tmp_path))
    assert 1.2e6 < model.architecture.parameters < 1.5e6
    assert model.architecture.context > 120 + TOKENS


def test_bars_are_those_of_the_figures() -> None:
    rows = [
        {"name": "ingot serve", "clients": 8, "tokens_per_second": 999.0},
        {"name": "ingot serve", "clients": 16, "tokens_per_second": 300.0},
        {"name": "transformers serve", "clients": 16, "tokens_per_second": 50.0},
        {"name": "transformers serve --x", "clients": 16, "tokens_per_second": 120.0},
        {"name": "llama.cpp", "failed": "not installed"},
    ]
    found = {bar["name"]: (bar["value"], bar["holds"]) for bar in bars(rows, 2.5)}
    assert found == {
        "throughput_vs_transformers": (2.5, False),
        "throughput_vs_llamacpp": (None, False),
        "cold_start_seconds": (2.5, True),
    }
