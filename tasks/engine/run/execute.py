"""Building one stage, or serving what is already built."""

from __future__ import annotations

import contextlib
import datetime
import functools
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llm.process.sandbox import close_warm
from tasks.engine.config import StageConfig
from tasks.engine.errors import CancelledError, StoreFullError
from tasks.engine.identity import canonical
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.progress import Listener, NullListener
from tasks.engine.run.checks import check_unique, totals
from tasks.engine.run.code import code_record
from tasks.engine.run.code import identity as code_identity
from tasks.engine.run.view import keep_view
from tasks.engine.shards.earlier_receipts import known_receipts
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Data, Inputs, build_folder
from tasks.engine.store.lease import TIME_TO_LIVE, Holder, Lease
from tasks.engine.store.listing import external_record
from tasks.engine.store.manifest import (
    SCHEMA_VERSION,
    CodeRecord,
    ExternalItem,
    ExternalRecord,
    InputRecord,
    Manifest,
    OutputRecord,
    Timings,
    Totals,
)
from tasks.engine.store.published import sound
from tasks.engine.store.space import full, is_full
from tasks.engine.store.store import Store
from tasks.engine.upkeep.gc import advice


@dataclass(frozen=True)
class BuildRequest:
    """What is to be built: a stage, its config, and the exact artifacts it reads.

    Attributes:
        inputs: by input name, the artifact and the name of its output.
    """

    stage: Stage
    config: StageConfig
    inputs: Mapping[str, tuple[Artifact, str]]
    externals: Mapping[str, Snapshot] = field(default_factory=dict)

    def records(self) -> dict[str, InputRecord]:
        """The inputs as the manifest names them."""
        return {
            name: artifact.as_input(output, self.stage.inputs[name].whole)
            for name, (artifact, output) in sorted(self.inputs.items())
        }

    @functools.cached_property
    def build_id(self) -> str:
        """Identity of this request: see docs/architecture.md, "Identity"."""
        return self.build_id_of(self.records())

    def build_id_of(self, records: Mapping[str, InputRecord]) -> str:
        """Identity of a request like this one that reads these inputs."""
        ids = {name: record.data_id for name, record in records.items()}
        ids.update({name: snapshot.data_id for name, snapshot in self.externals.items()})
        return canonical.build_id(self.stage.name, self.stage.version, self.config.identity(), ids)


@dataclass(frozen=True)
class BuildResult:
    """What `execute` returns: the artifact in force, and whether it was there already."""

    artifact: Artifact
    cached: bool


def execute(
    request: BuildRequest,
    store: Store,
    listener: Listener | None = None,
    force: bool = False,
    prefect: Mapping[str, str] | None = None,
    time_to_live: float = TIME_TO_LIVE,
    same_code: bool = False,
) -> BuildResult:
    """Serve the artifact of a request, building it if there is none that is sound.

    Args:
        force: make a new attempt although a sound one exists; nothing is adopted or resumed, but
            what a stage that `looks_again` finds unchanged.
        prefect: run ids to record.
        same_code: adopt no shard that other code built.

    Raises:
        LeaseLostError: another run took over, because this one's heartbeat did not arrive.
        IngotError: whatever else kept the stage from being published; nothing half-done is visible.
    """
    listener = listener or NullListener()
    stage, build = request.stage, request.build_id
    if not force and (artifact := sound(store, stage.name, build, request.config)):
        return BuildResult(artifact, cached=True)
    folder = build_folder(stage.name, build)

    def waiting(other: Holder) -> None:
        listener.log(stage.name, f"waiting for {other}, which is building the same stage")

    began = time.time()
    lease = Lease(store, f"{folder}/lease", time_to_live, waiting, listener.cancelled)
    with _advise_on_space(store), lease:
        artifact = sound(store, stage.name, build, request.config)
        if artifact is not None and (not force or _is_since(artifact, began)):
            return BuildResult(artifact, cached=True)  # the run we waited for built it
        watched = _WhileHeld(listener, lease)
        try:
            artifact = _attempt(request, store, watched, lease, force, same_code, prefect or {})
        except CancelledError:
            lease.check()  # what stopped it may be that it is no longer the holder
            raise
        finally:
            close_warm()  # a worker's ends with the worker
    return BuildResult(artifact, cached=False)


@contextlib.contextmanager
def _advise_on_space(store: Store) -> Iterator[None]:
    """A full disk, whoever noticed it, is told as one, with what `gc` would make of it."""
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        reason = str(error) if isinstance(error, StoreFullError) else full(Path(store.root))
        because = "" if isinstance(error, StoreFullError) else f" ({error})"
        raise StoreFullError(f"{reason}{because}. {advice(store)}") from error


def _is_since(artifact: Artifact, moment: float) -> bool:
    started = datetime.datetime.fromisoformat(artifact.manifest.timings.started)
    return started.timestamp() >= moment


def _reserve(store: Store, folder: str) -> str:
    """The number of a new attempt, which no other run can have taken."""
    while True:
        numbers = [int(name) for name in store.names(folder) if name.isdigit()]
        attempt = f"{max(numbers, default=0) + 1:04d}"
        try:
            store.create(f"{folder}/{attempt}/reserved", b"")
        except FileExistsError:
            time.sleep(0.05)  # another run took it
            continue
        return attempt


def _scratch(store: Store, folder: str, fresh: bool) -> Path:
    base = store.local_path(folder) if store.local else store.cache_folder("scratch") / folder
    scratch = base / "scratch"
    if fresh:
        shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


class _WhileHeld:
    """A listener that also cancels once the lease is lost: another run writes there by then."""

    def __init__(self, listener: Listener, lease: Lease) -> None:
        self.log, self.progress = listener.log, listener.progress
        self._listener, self._lease = listener, lease

    def cancelled(self) -> bool:
        return self._lease.lost or self._listener.cancelled()


def _attempt(
    request: BuildRequest,
    store: Store,
    listener: Listener,
    lease: Lease,
    force: bool,
    same_code: bool,
    prefect: Mapping[str, str],
) -> Artifact:
    stage, config, build = request.stage, request.config, request.build_id
    folder = build_folder(stage.name, build)
    attempt = _reserve(store, folder)
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    code = code_record(stage)
    # In the order of the declaration, however the request was put together.
    data: dict[str, Data] = {}
    for name in stage.inputs:
        if name in request.inputs:
            artifact, output = request.inputs[name]
            data[name] = artifact.data(output)
    inputs = Inputs(data, request.externals)
    again = force and not stage.looks_again(config)
    known = {} if again else known_receipts(store, stage.name)
    where = f"{folder}/{attempt}"
    out = Out(
        stage,
        config,
        inputs,
        store,
        where,
        _scratch(store, folder, fresh=force),
        known,
        listener,
        code_identity(code),
        same_code,
        force,
    )
    try:
        stage.run(config, inputs, out)
        counted = totals(stage, inputs, out, check_unique(stage, out))
        lease.check()
        outputs = out.finish()
        timings = Timings(
            started=started.isoformat(),
            seconds=time.perf_counter() - clock,
            shards_built=out.work.built,
            shards_adopted=out.work.adopted,
        )
        code = code.model_copy(update={"adopted": out.work.adopted_otherwise})
        externals = {
            name: external_record(
                store,
                where,
                snapshot.data_id,
                (ExternalItem(name=i.name, size=i.size, sha256=i.sha256) for i in snapshot.items),
            )
            for name, snapshot in sorted(request.externals.items())
        }
        manifest = _manifest(
            request, attempt, outputs, externals, code, counted, out.facts, timings, prefect
        )
        panels = keep_view(stage, Artifact(store, _as_read_later(manifest)))
        manifest = _as_read_later(manifest.model_copy(update={"panels": panels}))
    except BaseException as error:
        try:
            out.abandon()
        except Exception as problem:  # noqa: BLE001 - what stopped the attempt is the one to tell
            error.add_note(f"What it left in {store.full(where)} could not be removed: {problem}")
        raise
    lease.check()
    store.create(f"{where}/manifest.json", manifest.model_dump_json(indent=1).encode())
    store.replace(f"{folder}/current.json", f'{{"attempt": "{attempt}"}}'.encode())
    shutil.rmtree(out.scratch, ignore_errors=True)  # checkpoints served their purpose
    return Artifact(store, manifest)


def _as_read_later(manifest: Manifest) -> Manifest:
    """The same after JSON, which has no tuples and no names but texts."""
    return Manifest.model_validate_json(manifest.model_dump_json())


def _manifest(
    request: BuildRequest,
    attempt: str,
    outputs: dict[str, OutputRecord],
    externals: dict[str, ExternalRecord],
    code: CodeRecord,
    counted: Totals,
    facts: Mapping[str, Any],
    timings: Timings,
    prefect: Mapping[str, str],
) -> Manifest:
    """What is known of an attempt whose outputs are in place."""
    return Manifest(
        schema_version=SCHEMA_VERSION,
        stage=request.stage.name,
        build_id=request.build_id,
        attempt=attempt,
        outputs=outputs,
        config=request.config.identity(),
        execution=request.config.execution(),
        code=code,
        inputs=request.records(),
        externals=externals,
        totals=counted,
        facts=dict(sorted(facts.items())),
        timings=timings,
        environment={
            "python": platform.python_version(),
            "platform": platform.platform(),
            "machine": platform.machine(),
            "pyarrow": version("pyarrow"),
        },
        prefect=dict(prefect),
    )
