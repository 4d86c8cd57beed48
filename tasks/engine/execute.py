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

from llm.corpus.sandbox import close_warm
from tasks.engine import canonical
from tasks.engine.artifact import Artifact, Data, Inputs, attempt_folder, recipe_folder
from tasks.engine.code import code_record
from tasks.engine.code import identity as code_identity
from tasks.engine.config import StageConfig
from tasks.engine.errors import CancelledError, StoreFullError
from tasks.engine.lease import TIME_TO_LIVE, Holder, Lease
from tasks.engine.manifest import (
    SCHEMA_VERSION,
    ExternalItem,
    ExternalRecord,
    InputRecord,
    Manifest,
    Timings,
)
from tasks.engine.output import Out
from tasks.engine.progress import Listener, Silent
from tasks.engine.publish import check_unique, totals
from tasks.engine.shards import known_receipts
from tasks.engine.snapshot import Snapshot
from tasks.engine.space import full, is_full
from tasks.engine.stage import Stage
from tasks.engine.store import Store


@dataclass(frozen=True)
class Order:
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

    @property
    def recipe_id(self) -> str:
        """Identity of this order: see DESIGN, "Identity"."""
        ids = {name: record.data_id for name, record in self.records().items()}
        ids.update({name: snapshot.data_id for name, snapshot in self.externals.items()})
        return canonical.recipe_id(self.stage.name, self.stage.version, self.config.identity(), ids)


@dataclass(frozen=True)
class Built:
    """What `execute` returns: the artifact in force, and whether it was there already."""

    artifact: Artifact
    cached: bool


def current(store: Store, stage: str, recipe: str) -> Artifact | None:
    """The attempt in force for a recipe, or `None`; its files are not looked at."""
    pointer = store.read_json(f"{recipe_folder(stage, recipe)}/current.json")
    return None if pointer is None else published(store, stage, recipe, pointer["attempt"])


def published(store: Store, stage: str, recipe: str, attempt: str) -> Artifact | None:
    """One attempt, if it has a manifest."""
    try:
        written = store.read(f"{attempt_folder(stage, recipe, attempt)}/manifest.json")
    except FileNotFoundError:
        return None
    return Artifact(store, _manifest(written))


@functools.lru_cache(maxsize=1024)
def _manifest(written: bytes) -> Manifest:
    """Read once: a plan and a run look at each of them a dozen times, and none ever changes."""
    return Manifest.model_validate_json(written)


def damage(artifact: Artifact, marks: bool = True) -> list[str]:
    """Files that are missing, of another size, or marked by `verify --deep`: fast, no hashing.

    Args:
        marks: look at what was marked too.
    """
    store, found = artifact.store, []
    for name, output in artifact.manifest.outputs.items():
        for file in output.files:
            path = f"{artifact.folder}/{name}/{file.path}"
            if store.size(path) != file.bytes:
                found.append(f"{name}/{file.path}")
    marked = store.read_json(f"{artifact.folder}/damaged.json") if marks else None
    return sorted({*found, *(marked or [])})


def failed_shards(artifact: Artifact, config: StageConfig) -> list[str]:
    """Shards it was published without, where that is more of them than the config allows now."""
    failed: dict[str, str] = artifact.facts.get("failed_shards", {})
    allowed = int(getattr(config, "max_failed_shards", 0))
    return sorted(failed) if len(failed) > allowed else []


def sound(store: Store, stage: str, recipe: str, config: StageConfig) -> Artifact | None:
    """The attempt in force, if it is whole."""
    artifact = current(store, stage, recipe)
    if artifact is None or damage(artifact) or failed_shards(artifact, config):
        return None
    return artifact


def execute(
    order: Order,
    store: Store,
    listener: Listener | None = None,
    force: bool = False,
    prefect: Mapping[str, str] | None = None,
    time_to_live: float = TIME_TO_LIVE,
    same_code: bool = False,
) -> Built:
    """Serve the artifact of an order, building it if there is none that is sound.

    Args:
        force: make a new attempt although a sound one exists; nothing is adopted or resumed.
        prefect: run ids to record.
        same_code: adopt no shard that other code built.

    Raises:
        LeaseLostError: another run took over, because this one's heartbeat did not arrive.
        IngotError: whatever else kept the stage from being published; nothing half-done is visible.
    """
    listener = listener or Silent()
    stage, recipe = order.stage, order.recipe_id
    if not force and (artifact := sound(store, stage.name, recipe, order.config)):
        return Built(artifact, cached=True)
    folder = recipe_folder(stage.name, recipe)

    def waiting(other: Holder) -> None:
        listener.log(stage.name, f"waiting for {other}, which is building the same recipe")

    began = time.time()
    lease = Lease(store, f"{folder}/lease", time_to_live, waiting, listener.cancelled)
    with _space_advised(store), lease:
        artifact = sound(store, stage.name, recipe, order.config)
        if artifact is not None and (not force or _since(artifact, began)):
            return Built(artifact, cached=True)  # the run we waited for built it
        watched = _WhileHeld(listener, lease)
        try:
            artifact = _attempt(order, store, watched, lease, force, same_code, prefect or {})
        except CancelledError:
            lease.check()  # what stopped it may be that it is no longer the holder
            raise
        finally:
            close_warm()  # a worker's ends with the worker
    return Built(artifact, cached=False)


@contextlib.contextmanager
def _space_advised(store: Store) -> Iterator[None]:
    """A full disk, whoever noticed it, is told as one, with what `gc` would make of it."""
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        from tasks.engine.gc import advice  # which looks at what this module has published

        told = str(error) if isinstance(error, StoreFullError) else full(Path(store.root))
        because = "" if isinstance(error, StoreFullError) else f" ({error})"
        raise StoreFullError(f"{told}{because}. {advice(store)}") from error


def _since(artifact: Artifact, moment: float) -> bool:
    started = datetime.datetime.fromisoformat(artifact.manifest.timings.started)
    return started.timestamp() >= moment


def _reserved(store: Store, folder: str) -> str:
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
    order: Order,
    store: Store,
    listener: Listener,
    lease: Lease,
    force: bool,
    same_code: bool,
    prefect: Mapping[str, str],
) -> Artifact:
    stage, config, recipe = order.stage, order.config, order.recipe_id
    folder = recipe_folder(stage.name, recipe)
    attempt = _reserved(store, folder)
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    code = code_record(stage)
    data: dict[str, Data] = {
        name: artifact.data(output) for name, (artifact, output) in order.inputs.items()
    }
    inputs = Inputs(data, order.externals)
    known = {} if force else known_receipts(store, stage.name)
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
    )
    try:
        stage.run(config, inputs, out)
        check_unique(stage, out)
        counted = totals(stage, inputs, out)
        lease.check()
        outputs = out.finish()
    except BaseException as error:
        try:
            out.abandon()
        except Exception as problem:  # noqa: BLE001 - what stopped the attempt is the one to tell
            error.add_note(f"What it left in {store.full(where)} could not be removed: {problem}")
        raise
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        stage=stage.name,
        recipe_id=recipe,
        attempt=attempt,
        outputs=outputs,
        config=config.identity(),
        execution=config.execution(),
        code=code.model_copy(update={"adopted": out.work.adopted_otherwise}),
        inputs=order.records(),
        externals={
            name: ExternalRecord(
                data_id=snapshot.data_id,
                items=[
                    ExternalItem(name=i.name, size=i.size, sha256=i.sha256) for i in snapshot.items
                ],
            )
            for name, snapshot in sorted(order.externals.items())
        },
        totals=counted,
        facts=dict(sorted(out.facts.items())),
        timings=Timings(
            started=started.isoformat(),
            seconds=time.perf_counter() - clock,
            shards_built=out.work.built,
            shards_adopted=out.work.adopted,
        ),
        environment={
            "python": platform.python_version(),
            "platform": platform.platform(),
            "machine": platform.machine(),
            "pyarrow": version("pyarrow"),
        },
        prefect=dict(prefect),
    )
    lease.check()
    store.create(f"{where}/manifest.json", manifest.model_dump_json(indent=1).encode())
    store.replace(f"{folder}/current.json", f'{{"attempt": "{attempt}"}}'.encode())
    shutil.rmtree(out.scratch, ignore_errors=True)  # checkpoints served their purpose
    return Artifact(store, manifest)
