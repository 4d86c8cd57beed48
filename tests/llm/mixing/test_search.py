"""`python -m llm.mixing`: proxies trained side by side, once each, whatever ends the search."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm.evaluation.bits_per_byte import document_losses
from llm.evaluation.tasks.subject import OwnModel
from llm.mixing.run_file import Domain, Proxy, Search, read
from llm.model.folder import load
from llm.process.parent import TERMINATED
from llm.tokens.chat import ChatEncoder
from llm.training.mixture import Share
from tests.llm.tokens.small_tokenizer import library_texts, small_tokenizer
from tests.llm.training.small_run import EXECUTION, trained, weights
from tests.llm.training.test_mixed_runs import mixed
from tests.llm.training.test_training_launched import Event, launched

OFTEN = replace(EXECUTION, checkpoint_seconds=0.0)
TEXTS = {"code": library_texts()[0][1000:1600], "docs": library_texts()[2][500:900]}


def proxy(name: str, code: float) -> Proxy:
    shares = [Share("code", code, 0.0), Share("docs", round(1 - code, 3), 0.0)]
    return Proxy(name, tuple(share for share in shares if share.weight))


PROXIES = (proxy("even", 0.5), proxy("corner", 1.0), proxy("most", 0.9))


def search_in(folder: Path, execution: Any = EXECUTION, **settings: Any) -> Search:
    run = mixed(folder, execution, validation_rows=0, **settings)
    paths = replace(
        run.paths, scratch=str(folder / "proxies"), model="", metrics="", result="", resumable=""
    )
    rows = [
        {
            "domain": name,
            "tokens": small_tokenizer().encode(text, add_special_tokens=False).ids,
            "bytes": len(text.encode()),
        }
        for name, text in TEXTS.items()
    ]
    held_out = folder / "held_out.parquet"
    pq.write_table(pa.Table.from_pylist(rows), held_out)
    return Search(
        training=replace(run, paths=paths, phases=()),
        proxies=PROXIES,
        domains=tuple(Domain(name, name * 8) for name in TEXTS),
        held_out=held_out,
        eval_batch_tokens=512,
        at_once=2,
        kept=folder / "kept",
        results=folder / "results.json",
    )


def carried_out(
    search: Search,
    folder: Path,
    on_event: Callable[[Event, subprocess.Popen], None] | None = None,
) -> tuple[int, list[Event]]:
    record = json.loads(json.dumps(asdict(search), default=str))
    return launched(record, folder, on_event, module="llm.mixing")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Search]:
    folder = tmp_path_factory.mktemp("search")
    search = search_in(folder)
    code, heard = carried_out(search, folder)
    assert code == 0, heard
    assert [event["done"] for event in heard if event["event"] == "progress"][-1] == 3
    return folder, search


def test_proxies_are_the_trainers_own_runs(done: tuple[Path, Search], tmp_path: Path) -> None:
    """The same bytes as the run alone; and bits per byte as `evaluate` measures them."""
    folder, search = done
    assert read(folder / "run.json") == search
    outcomes = json.loads(search.results.read_text())
    assert [each["name"] for each in outcomes] == ["even", "corner", "most"]
    for each, found in zip(search.proxies, outcomes, strict=True):
        run = search.run_of(each)
        paths = replace(run.paths, scratch=str(tmp_path / each.name), model=str(tmp_path / "model"))
        for field in ("metrics", "result"):
            paths = replace(paths, **{field: str(tmp_path / field)})
        alone = replace(run, paths=paths)
        result = trained(alone)
        kept = search.kept / each.name / "model"
        assert weights(alone) == (kept / "model.safetensors").read_bytes()
        assert (found["tokens"], found["parameters"]) == (result["tokens"], result["parameters"])
        subject = OwnModel(load(kept), ChatEncoder(kept))
        for name, text in TEXTS.items():
            losses = document_losses(subject, [text], 512, lambda done, total: None)
            assert found["bits"][name] == pytest.approx(losses.bits_per_byte, rel=1e-6)
    assert not list((folder / "proxies").iterdir())
    assert outcomes[0]["bits"] != outcomes[1]["bits"]


@pytest.mark.long
def test_what_is_there_is_not_trained_again(done: tuple[Path, Search], tmp_path: Path) -> None:
    """Of a later search with one more domain and one more mixture."""
    _, before = done
    search = search_in(tmp_path)
    shutil.copytree(before.kept, search.kept)
    files = {path: path.stat().st_mtime_ns for path in search.kept.glob("*/*.json")}
    search = replace(
        search,
        proxies=(*PROXIES, proxy("new", 0.2)),
        domains=(*search.domains, Domain("code", "other documents")),
    )
    code, heard = carried_out(search, tmp_path)
    assert code == 0
    assert all(path.stat().st_mtime_ns == at for path, at in files.items())
    told = [event["message"] for event in heard if event["event"] == "log"]
    assert sum(line.startswith("proxy of code 0.2, docs 0.8") for line in told) == 1
    assert len(list(search.kept.glob("*/bits-*.json"))) == 4 * 3
    code, heard = carried_out(search, tmp_path)
    assert code == 0
    assert [event["message"] for event in heard] == ["4 of 4 proxies are there from before"]


def _children(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_killed_it_leaves_nobody_and_goes_on(tmp_path: Path) -> None:
    search = replace(search_in(tmp_path, steps=60), at_once=1)
    left: list[psutil.Process] = []

    def kill(event: Event, process: subprocess.Popen) -> None:
        if event["event"] == "log" and event["message"].startswith("proxy of"):
            left.extend(_children(process))
            process.kill()

    code, _ = carried_out(search, tmp_path, kill)
    assert code == -signal.SIGKILL
    assert left
    _, alive = psutil.wait_procs(left, timeout=2)
    assert not alive
    finished = {path: path.stat().st_mtime_ns for path in search.kept.glob("*/result.json")}
    assert 1 <= len(finished) < 3
    code, _ = carried_out(search, tmp_path)
    assert code == 0
    assert all(path.stat().st_mtime_ns == at for path, at in finished.items())
    assert len(json.loads(search.results.read_text())) == 3


@pytest.mark.long
def test_asked_to_stop_proxies_write_checkpoints(tmp_path: Path) -> None:
    search = replace(search_in(tmp_path, OFTEN, steps=150), proxies=PROXIES[:1])
    stopper = threading.Thread(target=_stop_at_checkpoint, args=(tmp_path,))
    stopper.start()
    code, heard = carried_out(search, tmp_path)
    stopper.join()
    assert code == TERMINATED
    assert heard[-1]["message"] == "stopped with 0 of 1 proxies finished, which stay"
    code, _ = carried_out(search, tmp_path)
    assert code == 0
    result = json.loads((search.kept / "even" / "result.json").read_text())
    assert 0 < result["resumed_from_step"] < 150


def _stop_at_checkpoint(folder: Path) -> None:
    """Ask the search in a folder to stop as soon as a proxy has a checkpoint."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if list(folder.glob("proxies/even/checkpoints/step-*/state.json")):
            break
        time.sleep(0.01)
    for process in psutil.Process().children():
        if str(folder / "run.json") in process.cmdline():
            process.send_signal(signal.SIGTERM)


def test_a_proxy_that_fails_is_named(tmp_path: Path) -> None:
    search = search_in(tmp_path, learning_rate=1e30, optimiser="adamw", clip=0.0)
    code, heard = carried_out(replace(search, at_once=1), tmp_path)
    assert code == 1
    (error,) = [event for event in heard if event["event"] == "error"]
    assert error["type"] == "ProxyError"
    assert error["message"].startswith("proxy even (code 0.5, docs 0.5): NonFiniteLossError: ")
