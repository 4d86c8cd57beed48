"""`Out`: how a stage writes. Sharded tables, plain tables, folders, facts, counts."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.engine import canonical, launch
from tasks.engine.artifact import Data, Inputs
from tasks.engine.config import StageConfig
from tasks.engine.errors import MissingInputError, OutputError, ShardError
from tasks.engine.manifest import File, OutputRecord, Totals, columns_of
from tasks.engine.parts import PartWriter
from tasks.engine.pool import Failure, Job, run_jobs, worker_count
from tasks.engine.progress import Figure, Listener, Pace
from tasks.engine.shards import (
    Receipt,
    add_note,
    function_name,
    part_stem,
    verified_receipt,
)
from tasks.engine.snapshot import Item, sha256_file
from tasks.engine.stage import REJECTED, Stage
from tasks.engine.store import Store
from tasks.engine.unit import Emitted, Unit


class Out:
    """One attempt at a stage, being written.

    Args:
        folder: of the attempt, relative to the store.
        scratch: a local folder that outlives the attempt.
        known: shard id -> attempt folder, of shards that may be adopted.
        code: identity of the code that runs; recorded in receipts.
        same_code: adopt only what this very code built.
    """

    def __init__(
        self,
        stage: Stage,
        config: StageConfig,
        inputs: Inputs,
        store: Store,
        folder: str,
        scratch: Path,
        known: Mapping[str, str],
        listener: Listener,
        code: str,
        same_code: bool,
    ) -> None:
        self._stage, self._config, self._inputs = stage, config, inputs
        self._store, self._folder, self._known = store, folder, known
        self._listener = listener
        self.scratch = scratch
        self._code, self._same_code = code, same_code
        self.built = self.adopted = self.adopted_otherwise = 0
        self.facts: dict[str, Any] = {}
        self.totals: Totals | None = None
        self.rows_in = 0  # read from outside the store, as shard functions report it
        self.reasons: dict[str, Counter[str]] = {}
        self._notes: dict[str, int | float | list[str]] = {}
        self._files: dict[str, dict[str, File]] = {name: {} for name in stage.outputs}
        self._folders: dict[str, Path] = {}
        if store.local:
            self._staging = store.local_path(f"{folder}/staging")
            self._staging.mkdir(parents=True, exist_ok=True)
        else:
            # Removed with this object, also when the attempt fails.
            self._temporary = tempfile.TemporaryDirectory(prefix="ingot-staging-")
            self._staging = Path(self._temporary.name)

    # -- what stages call --------------------------------------------------------

    def log(self, message: str) -> None:
        """A line for the user."""
        self._listener.log(self._stage.name, message)

    def progress(self, done: int, total: int, unit: str, **figures: Figure) -> None:
        """Report on long work outside `map`."""
        self._listener.progress(self._stage.name, done, total, unit, figures)

    def cancelled(self) -> bool:
        """Whether to stop at the next safe point."""
        return self._listener.cancelled()

    def fact(self, name: str, value: Any) -> None:
        """Evidence for the manifest; must have a canonical JSON form."""
        canonical.canonical_json(value)
        self.facts[name] = value

    def conserve(
        self,
        rows_in: int,
        kept: int,
        removed: Mapping[str, int] | None = None,
        rejected: Mapping[str, int] | None = None,
        unit: str = "row",
    ) -> None:
        """State the stage's own law of conservation; checked before publishing."""
        self.totals = Totals(
            rows_in=rows_in,
            kept=kept,
            removed=dict(removed or {}),
            rejected=dict(rejected or {}),
            unit=unit,
        )

    @contextlib.contextmanager
    def table(self, name: str) -> Iterator[PartWriter]:
        """Write a table from this process; published when the block ends without an error."""
        schema = self._schema(name)
        folder = self._staging / f"table-{name}"
        writer = _CountingWriter(folder, "part-00000", schema, name)
        with writer:
            yield writer
        for file in writer.files:
            self._publish(name, file, folder / file.path)
        for reason, count in writer.reasons.items():
            self.reasons.setdefault(name, Counter())[reason] += count

    def folder(self, name: str) -> Path:
        """A local folder to fill; every file in it is published with the manifest."""
        if self._declared(name) is not None:
            raise OutputError(f"{self._stage.name}.{name} is a table, not a folder")
        if name not in self._folders:
            if self._store.local:
                path = self._store.local_path(f"{self._folder}/{name}")
            else:
                path = self._staging / f"folder-{name}"
            path.mkdir(parents=True, exist_ok=True)
            self._folders[name] = path
        return self._folders[name]

    def data(self, name: str) -> Data:
        """Read back an output of this stage that is already written."""
        self._declared(name)
        files = list(self._files[name].values())
        identity = canonical.data_id((f.path, f.rows, f.sha256) for f in files)
        return Data(
            self._store, f"{self._folder}/{name}", identity, self._declared(name), files, None
        )

    def launch(
        self,
        module: str,
        run: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        processes: int = 1,
    ) -> None:
        """Run a trainer in a process of its own.

        Raises:
            TrainerError: it failed.  CancelledError: it was stopped and keeps a checkpoint.
        """

        def hear(event: dict[str, Any]) -> None:
            if event.get("event") == "log":
                self.log(str(event.get("message", "")))
            elif event.get("event") == "progress":
                known = {"event", "done", "total", "unit"}
                figures = {k: v for k, v in event.items() if k not in known and v is not None}
                self.progress(event["done"], event["total"], event["unit"], **figures)

        launch.launch(module, run, self.scratch, hear, self.cancelled, environment or {}, processes)

    def map(
        self,
        function: Callable[..., Iterator[Emitted]],
        over: str | Sequence[Item],
        arguments: Mapping[str, Any] | None = None,
        side: Sequence[str] = (),
    ) -> None:
        """Map a shard function over the parts of an input (or of an output), or over items.

        Finished shards of earlier attempts are adopted; see docs/stage-contract.md.

        Raises:
            ShardError: more shards failed, each after two tries, than the config allows.
        """
        arguments = dict(arguments or {})
        sides = {name: self._read(name) for name in side if self._has(name)}
        outside = {name: self._inputs.external[name] for name in side if self._is_external(name)}
        side_ids = {name: data.data_id for name, data in sides.items()}
        side_ids |= {name: snapshot.data_id for name, snapshot in outside.items()}
        folders = {name: data.folder() for name, data in sides.items()}
        items = {name: snapshot.items for name, snapshot in outside.items()}
        units = [replace(unit, side=folders, external=items) for unit in self._units(over)]
        name_of = function_name(function)
        schemas = {n: o.schema for n, o in self._stage.outputs.items() if o.schema is not None}
        jobs: list[Job] = []
        receipts: dict[str, Receipt] = {}
        by_name: dict[str, Unit] = {}
        for unit in units:
            shard = canonical.shard_id(
                self._stage.name,
                self._stage.version,
                self._config.identity(),
                {"name": unit.name, "sha256": unit.sha256},
                side_ids,
                {"function": name_of, **arguments},
            )
            receipt = self._adopt(shard)
            if receipt is not None:
                receipts[unit.name] = receipt
                continue
            by_name[unit.name] = unit
            stem = part_stem(unit.name, external=unit.rows is None)
            staging = self._staging / shard
            jobs.append(Job(unit.name, (name_of, unit, arguments, schemas, staging, stem, shard)))
        self._build(jobs, receipts, by_name, len(units))
        for unit in units:  # in order of units, so that joined notes are deterministic
            if unit.name in receipts:
                self._count(receipts[unit.name], external=not isinstance(over, str))

    # -- what the engine calls ----------------------------------------------------

    def finish(self) -> dict[str, OutputRecord]:
        """Put folders in place and describe every output."""
        self.facts.update(self._notes)
        for name, path in self._folders.items():
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                relative = file.relative_to(path).as_posix()
                record = File(
                    path=relative,
                    rows=None,
                    bytes=file.stat().st_size,
                    sha256=sha256_file(file),
                )
                self._files[name][relative] = record
                if not self._store.local:
                    self._store.put(f"{self._folder}/{name}/{relative}", file)
        records = {}
        for name, output in self._stage.outputs.items():
            files = sorted(self._files[name].values(), key=lambda file: file.path)
            if output.schema is None and not files:
                raise OutputError(f"{self._stage.name}.{name}: the folder is empty")
            if output.schema is not None:
                buffer = output.schema.serialize().to_pybytes()
                self._store.replace(f"{self._folder}/schemas/{name}.arrow", buffer)
            records[name] = OutputRecord(
                data_id=self.data(name).data_id, columns=columns_of(output.schema), files=files
            )
        if self._store.local:
            self._store.remove(f"{self._folder}/staging")
        return records

    # -- inside ---------------------------------------------------------------------

    def _declared(self, name: str) -> pa.Schema | None:
        if name not in self._stage.outputs:
            names = ", ".join(self._stage.outputs)
            raise OutputError(f"{self._stage.name} declares {names}; it has no output {name!r}")
        return self._stage.outputs[name].schema

    def _schema(self, name: str) -> pa.Schema:
        schema = self._declared(name)
        if schema is None:
            raise OutputError(f"{self._stage.name}.{name} is a folder, not a table")
        return schema

    def _has(self, name: str) -> bool:
        return name in self._inputs or name in self._stage.outputs

    def _is_external(self, name: str) -> bool:
        return name in self._inputs.external and not self._has(name)

    def _read(self, name: str) -> Data:
        if name in self._inputs:
            return self._inputs[name]
        if name in self._stage.outputs:
            return self.data(name)
        raise MissingInputError(f"{self._stage.name} has no input {name!r}")

    def _units(self, over: str | Sequence[Item]) -> Iterator[Unit]:
        if isinstance(over, str):
            data = self._read(over)
            for part in data.parts:
                stem = part.path.removesuffix(".parquet")
                yield Unit(stem, data.path(part), part.rows, part.sha256)
        else:
            for item in over:
                yield Unit(item.name, Path(item.path), None, item.sha256)

    def _adopt(self, shard: str) -> Receipt | None:
        folder = self._known.get(shard)
        if folder is None:
            return None
        receipt = verified_receipt(self._store, folder, shard)
        if receipt is None or (self._same_code and receipt.code != self._code):
            return None
        for output, files in receipt.files.items():
            for file in files:
                path = f"{output}/{file.path}"
                self._store.copy(f"{folder}/{path}", f"{self._folder}/{path}")
                self._files[output][file.path] = file
        self._receipt(receipt)
        self.adopted += 1
        self.adopted_otherwise += receipt.code != self._code
        return receipt

    def _build(
        self,
        jobs: list[Job],
        receipts: dict[str, Receipt],
        units: Mapping[str, Unit],
        total: int,
    ) -> None:
        if not jobs:
            return
        asked = int(getattr(self._config, "workers", 1))
        allowed = int(getattr(self._config, "max_failed_shards", 0))
        workers = worker_count(asked, len(jobs))
        done, pace = total - len(jobs), Pace(total, total - len(jobs))
        failed: list[tuple[str, Failure]] = []
        for job, outcome in run_jobs(jobs, workers, asked == 1, self.cancelled):
            if isinstance(outcome, Failure):
                failed.append((job.name, outcome))
                self.log(f"shard {job.name} failed twice: {outcome.kind}")
                if len(failed) > allowed:
                    raise ShardError(self._failures(failed, allowed))
                outcome = self._quarantined(units[job.name], job, outcome)
            else:
                outcome = outcome.model_copy(update={"code": self._code})
                self._place(job, outcome)
                self._receipt(outcome)
            receipts[job.name] = outcome
            self.built += 1
            done += 1
            self.progress(done, total, "shard", **pace.figures(done))
        if failed:
            told = self.facts.get("failed_shards", {})
            self.fact("failed_shards", told | {name: failure.kind for name, failure in failed})

    def _failures(self, failed: list[tuple[str, Failure]], allowed: int) -> str:
        lines = [f"- {name}: {failure.kind}\n{failure.message}" for name, failure in failed]
        return (
            f"{self._stage.name}: {len(failed)} shard(s) failed twice, {allowed} allowed "
            "(max_failed_shards):\n" + "\n".join(lines)
        )

    def _place(self, job: Job, receipt: Receipt) -> None:
        staging: Path = job.arguments[4]
        for output, files in receipt.files.items():
            for file in files:
                self._publish(output, file, staging / output / file.path)

    def _quarantined(self, unit: Unit, job: Job, failure: Failure) -> Receipt:
        """Account for the rows of a shard that could not be built: all are rejected."""
        schema = self._stage.outputs.get("rejected")
        if schema is None or schema.schema != REJECTED or unit.rows is None:
            raise ShardError(self._failures([(unit.name, failure)], 0))
        ids = unit.table(["doc_id"]).column("doc_id")
        table = pa.table(
            {
                "doc_id": ids,
                "reason": pa.array(["shard_failed"] * len(ids), pa.string()),
                "detail": pa.array([failure.kind] * len(ids), pa.string()),
            },
            schema=REJECTED,
        )
        folder = self._staging / f"failed-{job.arguments[6]}"
        with PartWriter(folder / "rejected", job.arguments[5], REJECTED, unit.name) as writer:
            writer.write(table)
        for file in writer.files:
            self._publish("rejected", file, folder / "rejected" / file.path)
        return Receipt(
            shard_id=job.arguments[6],
            unit=unit.name,
            rows_in=len(ids),
            files={"rejected": writer.files},
            reasons={"rejected": {"shard_failed": len(ids)}},
            notes={},
            seconds=0.0,
        )

    def _publish(self, output: str, file: File, source: Path) -> None:
        if file.path in self._files[output]:
            raise OutputError(
                f"{self._stage.name}.{output}: {file.path} is written twice; every map call "
                "over the same units needs outputs of its own"
            )
        self._store.put(f"{self._folder}/{output}/{file.path}", source)
        self._files[output][file.path] = file

    def _receipt(self, receipt: Receipt) -> None:
        path = f"{self._folder}/receipts/{receipt.shard_id}.json"
        self._store.replace(path, receipt.model_dump_json().encode())

    def _count(self, receipt: Receipt, external: bool) -> None:
        if external:
            self.rows_in += receipt.rows_in
        for output, reasons in receipt.reasons.items():
            self.reasons.setdefault(output, Counter()).update(reasons)
        for name, value in receipt.notes.items():
            add_note(self._notes, name, value)


class _CountingWriter(PartWriter):
    """A part writer that counts rows by their reason."""

    def __init__(self, folder: Path, stem: str, schema: pa.Schema, where: str) -> None:
        super().__init__(folder, stem, schema, where)
        self.reasons: Counter[str] = Counter()

    def write(self, table: pa.Table) -> None:
        super().write(table)
        if "reason" in table.schema.names:
            counted = table.column("reason").value_counts().to_pylist()
            self.reasons.update({row["values"]: row["counts"] for row in counted})
