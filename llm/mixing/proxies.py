"""Proxies: small models of one mixture each, trained once, kept, and measured by domain.

A finished proxy is a folder named by what decides its weights: the model, what its training was
like (`result.json`), and a file a set of held-out documents with its bits per byte on them. So a
search that was killed trains what is missing, and one with a further source measures old proxies
on that.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from llm.mixing.run_file import Domain, Proxy, Search
from llm.rows import rows_with


@dataclass(frozen=True)
class Outcome:
    """What a proxy came to.

    Attributes:
        bits: per byte, by domain.
        tokens: it was trained on; `parameters`: of its model.
        seconds: of its training, since it was last begun.
    """

    name: str
    bits: dict[str, float]
    tokens: int
    parameters: int
    seconds: float


def is_finished(search: Search, proxy: Proxy) -> bool:
    """Whether it needs no training."""
    return (search.kept / proxy.name / "result.json").is_file()


def missing(search: Search, proxy: Proxy) -> list[Domain]:
    """Domains it was not measured on."""
    folder = search.kept / proxy.name
    return [domain for domain in search.domains if not _bits_file(folder, domain).is_file()]


def finish(search: Search, proxy: Proxy) -> None:
    """Train and measure what is missing of a proxy.

    Raises:
        StoppedError: SIGTERM came; the next start goes on from the checkpoint.
        Others: of `llm.training.loop.train`.
    """
    if not is_finished(search, proxy):
        _train(search, proxy)
    if domains := missing(search, proxy):
        _measure(search, proxy, domains)


def outcome(search: Search, proxy: Proxy) -> Outcome:
    """Of one that is finished and measured."""
    folder = search.kept / proxy.name
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    bits = {
        domain.name: json.loads(_bits_file(folder, domain).read_text(encoding="utf-8"))
        for domain in search.domains
    }
    return Outcome(
        proxy.name, bits, result["tokens"], result["parameters"], result["proxy_seconds"]
    )


def _train(search: Search, proxy: Proxy) -> None:
    from llm.process.parent import StopRequest
    from llm.training.loop import train

    run, began = search.run_of(proxy), time.monotonic()
    made = Path(run.paths.result).parent
    made.mkdir(parents=True, exist_ok=True)
    train(run, StopRequest())
    result = json.loads(Path(run.paths.result).read_text(encoding="utf-8"))
    result["proxy_seconds"] = time.monotonic() - began
    Path(run.paths.result).write_text(json.dumps(result), encoding="utf-8")
    _into_place(made, search.kept / proxy.name)
    shutil.rmtree(run.paths.scratch)


def _into_place(made: Path, place: Path) -> None:
    """Whole or not at all, also where the folders lie on two disks."""
    aside = place.with_name(f"{place.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made, aside)
    try:
        aside.rename(place)
    except OSError:
        if not (place / "result.json").is_file():
            raise
        shutil.rmtree(aside)  # another search was faster; its proxy is equal to ours


def _measure(search: Search, proxy: Proxy, domains: Sequence[Domain]) -> None:
    import torch

    from llm.evaluation.bits_per_byte import token_losses
    from llm.model.folder import load
    from llm.tokens.hf_folder import load_tokenizer, special_id
    from llm.tokens.special_tokens import END_OF_TEXT
    from llm.training.devices import find

    folder = search.kept / proxy.name
    device = find(search.training.execution.device)
    if device.type == "cpu":
        torch.set_num_threads(max(1, search.training.execution.threads))
    model = load(folder / "model").to(device)
    end = special_id(load_tokenizer(folder / "model"), END_OF_TEXT)
    for domain in domains:
        documents, sizes = _held_out(search.held_out, domain)
        losses = token_losses(
            model,
            device,
            model.architecture.context,
            end,
            documents,
            sizes,
            search.eval_batch_tokens,
            _silent,
        )
        aside = _bits_file(folder, domain).with_suffix(".new")
        aside.write_text(json.dumps(losses.bits_per_byte), encoding="utf-8")
        aside.rename(_bits_file(folder, domain))


def _held_out(path: Path, domain: Domain) -> tuple[list[NDArray[np.int32]], list[int]]:
    """Tokens and bytes of each document of a domain."""
    table = rows_with(pq.read_table(path), "domain", domain.name)
    documents = [np.array(row, np.int32) for row in table.column("tokens").to_pylist()]
    return documents, table.column("bytes").to_pylist()


def _bits_file(folder: Path, domain: Domain) -> Path:
    return folder / f"bits-{domain.digest[:32]}.json"


def _silent(done: int, total: int) -> None:
    """A measurement takes about a second."""
