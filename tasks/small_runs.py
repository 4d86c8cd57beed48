"""Finished runs of `pretrain` in the store that a forecast may rest on, and those it may not."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm.training.planner.loss_fit import Observation
from tasks.engine.errors import IngotError, MissingInputError
from tasks.engine.run.difference import value_difference
from tasks.engine.run.execute import BuildRequest
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import current, damage
from tasks.engine.store.store import Store

_STAGE = "pretrain"
MEASURED = "validation_bits_per_byte"
# How much above its best a curve may end.
_WORSE = 1.1
_LAST = 5  # steps whose mean loss is to be below that of the first
# What runs of one law may differ in.
_SIZE = frozenset(
    {"hidden_size", "layers", "heads", "key_value_heads", "head_dim", "intermediate_size"}
)
_LENGTH = frozenset({"tokens", "validate_every"})
# What is measured beside the steps, and what that reads: no weight hangs on it.
_TASKS = frozenset({"tasks_every", "task_items"})
_TASK_INPUTS = ("documents", "task:")


class ForecastError(IngotError):
    """No forecast can be made; says what is in the way."""


@dataclass(frozen=True)
class SmallRun:
    """A finished run that a forecast rests on.

    Attributes:
        loss: its last validation bits a byte.
        tokens_per_second: of its steps; `overhead_seconds`: all else that it took.
    """

    build_id: str
    parameters: int
    tokens: int
    loss: float
    flops_per_token: float
    tokens_per_second: float
    overhead_seconds: float

    @property
    def observation(self) -> Observation:
        return Observation(self.parameters, self.tokens, self.loss)


@dataclass(frozen=True)
class Left:
    """A run that a forecast does not rest on, and why."""

    build_id: str
    why: str


def runs_like(store: Store, request: BuildRequest) -> tuple[list[SmallRun], list[Left]]:
    """Finished runs in the store of one law with this one: they differ from it in size and length
    alone. Those of another law are not mentioned; those that went wrong are."""
    return _sorted_out(
        artifact
        for artifact in _pretrained(store)
        if not difference_of_law(artifact, request) and not _is_same(artifact, request)
    )


def runs_named(
    store: Store, request: BuildRequest, names: Sequence[str]
) -> tuple[list[SmallRun], list[Left]]:
    """The runs of these build ids.

    Raises:
        MissingInputError: there is none.
        ForecastError: one is of another law; names the field that differs.
    """
    artifacts = []
    for name in names:
        artifact = current(store, _STAGE, name) if len(name) >= 16 else None
        if artifact is None or not artifact.manifest.build_id.startswith(name):
            raise MissingInputError(
                f"{name!r}: no {_STAGE} of that build id (16 digits at least; `ingot why "
                f"{_STAGE}` shows them)"
            )
        differs = difference_of_law(artifact, request)
        if differs:
            raise ForecastError(
                f"{name}: of another law than the run to forecast, which cannot be fitted together "
                f"with it: {'; '.join(differs[:3])}"
            )
        artifacts.append(artifact)
    return _sorted_out(artifacts)


def difference_of_law(artifact: Artifact, request: BuildRequest) -> list[str]:
    """In what a run differs from the one to forecast, size and length apart."""
    free = _SIZE | _LENGTH | _TASKS

    def kept(config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if name not in free}

    def decisive(ids: Mapping[str, str]) -> dict[str, str]:
        return {name: each for name, each in ids.items() if not name.startswith(_TASK_INPUTS)}

    inputs = artifact.manifest.input_ids()
    wanted = {name: record.data_id for name, record in request.records().items()}
    wanted |= {name: snapshot.data_id for name, snapshot in request.externals.items()}
    return value_difference(
        {"inputs": decisive(inputs), **kept(artifact.manifest.config)},
        {"inputs": decisive(wanted), **kept(request.config.identity())},
    )


def _pretrained(store: Store) -> Iterator[Artifact]:
    for build in store.names(f"artifacts/{_STAGE}"):
        artifact = current(store, _STAGE, build)
        if artifact is not None and not damage(artifact):
            yield artifact


def _is_same(artifact: Artifact, request: BuildRequest) -> bool:
    return artifact.manifest.build_id == request.build_id


def _sorted_out(artifacts: Iterable[Artifact]) -> tuple[list[SmallRun], list[Left]]:
    looked_at = {each.manifest.build_id: small_run(each) for each in artifacts}
    # Runs that differ in nothing but how often they were measured are one run, said twice.
    alike = {
        (run.parameters, run.tokens): run for run in looked_at.values() if isinstance(run, SmallRun)
    }
    return list(alike.values()), [run for run in looked_at.values() if isinstance(run, Left)]


def small_run(artifact: Artifact) -> SmallRun | Left:
    """What a finished run says, or why it says nothing."""
    build, facts = artifact.manifest.build_id, artifact.facts["training"]
    metrics = artifact.data("metrics").table().to_pylist()
    curve = [row["value"] for row in metrics if row["name"] == MEASURED]
    if not curve:
        return Left(build, "nothing was measured on validation rows")
    last = curve[-1]
    losses = [row["value"] for row in metrics if row["name"] == "loss"]
    learned = bool(losses) and statistics.fmean(losses[-_LAST:]) < losses[0]
    if not math.isfinite(last) or last > _WORSE * min(curve) or not learned:
        return Left(build, f"it diverged: {last:.3f} bits a byte at its end")
    if facts.get("rollbacks"):
        return Left(build, "it was rolled back on its way, with a smaller learning rate")
    # Of its steps, compiled by then: the first ones and what else it took are a cost of their own.
    rates = [row["value"] for row in metrics if row["name"] == "tokens_per_second"]
    rate = statistics.median(rates[len(rates) // 4 :]) if rates else 0.0
    stepping = facts["tokens"] / rate if rate else 0.0
    return SmallRun(
        build_id=build,
        parameters=facts["parameters"],
        tokens=facts["tokens"],
        loss=last,
        flops_per_token=facts["flops_per_token"],
        tokens_per_second=0.0 if facts["resumed_from_step"] else rate,
        overhead_seconds=max(0.0, artifact.manifest.timings.seconds - stepping),
    )
