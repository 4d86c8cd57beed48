"""Servers of OpenAI's protocol on one model, each as its users start it, with as many threads."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 180.0
_LLAMACPP = """
import sys, threading, xllamacpp
path, port, threads, places, context = sys.argv[1], *map(int, sys.argv[2:])
p = xllamacpp.CommonParams()
p.model.path, p.hostnames, p.port = path, ["127.0.0.1"], port
p.n_parallel, p.n_ctx, p.kv_unified = places, places * context, False
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
p.n_gpu_layers = 0
server = xllamacpp.Server(p)
print("listens at", server.listening_address, flush=True)
threading.Event().wait()
"""


@dataclass(frozen=True)
class Peer:
    """
    Attributes:
        model: what requests call it.
    """

    name: str
    command: tuple[str, ...]
    model: str
    port: int


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def ingot(folder: Path, places: int) -> Peer:
    port = free_port()
    program = "from flows.cli.main import main; main()"
    command = (sys.executable, "-P", "-c", program, "serve", "--port", str(port))
    options = ("--model", f"bench={folder}", "--places", str(places), "--queue", "256")
    return Peer("ingot serve", (*command, *options), "bench", port)


def transformers(folder: Path, batching: bool) -> Peer:
    port = free_port()
    program = "from transformers.cli.transformers import main; main()"
    command = (sys.executable, "-P", "-c", program, "serve", str(folder), "--port", str(port))
    options = ("--device", "cpu", *(("--continuous-batching",) if batching else ()))
    name = "transformers serve" + (" --continuous-batching" if batching else "")
    return Peer(name, (*command, *options), str(folder), port)


def llamacpp(gguf: Path, threads: int, places: int, context: int) -> Peer:
    port = free_port()
    numbers = map(str, (port, threads, places, context))
    command = (sys.executable, "-P", "-c", _LLAMACPP, str(gguf), *numbers)
    return Peer(f"llama.cpp, {gguf.name}", command, "bench", port)


@contextlib.contextmanager
def running(peer: Peer, threads: int, log: Path) -> Iterator[float]:
    """Yields the seconds from its start to its first answer.

    Raises:
        RuntimeError: it does not answer; holds what it printed.
    """
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "INGOT_HOME": str(log.parent / "home"),
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
    }
    with log.open("wb") as stream:
        begun = time.perf_counter()
        process = subprocess.Popen(
            peer.command, stdout=stream, stderr=subprocess.STDOUT, env=environment
        )
    try:
        _first_answer(peer, process, log)
        yield time.perf_counter() - begun
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _first_answer(peer: Peer, process: subprocess.Popen[bytes], log: Path) -> None:
    body = {"model": peer.model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    request = urllib.request.Request(
        f"http://127.0.0.1:{peer.port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    told = ""
    deadline = time.perf_counter() + _START_SECONDS
    while process.poll() is None and time.perf_counter() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                response.read()
            return
        except urllib.error.HTTPError as error:  # it is there, and still loads
            told = error.read().decode(errors="replace")
        except OSError as error:
            told = str(error)
        time.sleep(0.02)
    raise RuntimeError(f"{peer.name}: {told}\n{log.read_text(errors='replace')[-2000:]}")


def import_seconds(module: str, environment: Mapping[str, str]) -> float:
    """Seconds that a Python takes to start and to import a module."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=dict(environment))
    return time.perf_counter() - begun
