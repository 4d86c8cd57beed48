"""`Out`: how a stage writes. Sharded tables, plain tables, folders, facts, counts."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.process.child import Child, ChildStoppedError, ChildTimeoutError
from tasks.engine.config import StageConfig
from tasks.engine.declare import Declared
from tasks.engine.errors import CancelledError, MissingInputError, OutputError, StalledError
from tasks.engine.identity import canonical
from tasks.engine.identity.snapshot import Item
from tasks.engine.progress import Figure, Listener
from tasks.engine.shards.adoption import ShardWork
from tasks.engine.shards.attempt import AttemptFiles
from tasks.engine.shards.gathering import gather_units, whole_tables
from tasks.engine.shards.job import Job, ShardFunction, function_name, part_stem
from tasks.engine.shards.parts import CountingWriter, PartWriter
from tasks.engine.shards.receipt import Receipt, add_fact
from tasks.engine.shards.unit_files import UnitFiles, unit_of
from tasks.engine.stage import launch
from tasks.engine.stage.ranks import Ranks
from tasks.engine.store.artifact import Data, Inputs
from tasks.engine.store.manifest import OutputRecord, Totals
from tasks.engine.store.store import Store


class Out:
    """One attempt at a stage, being written.

    Args:
        folder: of the attempt, relative to the store.
        scratch: a local folder that outlives the attempt.
        known: shard id -> attempt folder, of shards that may be adopted.
        code: identity of the code that runs; recorded in receipts.
        same_code: adopt only what this very code built.
        forced: the attempt was asked for although a sound one exists.
    """

    def __init__(
        self,
        stage: Declared,
        config: StageConfig,
        inputs: Inputs,
        store: Store,
        folder: str,
        scratch: Path,
        known: Mapping[str, str],
        listener: Listener,
        code: str,
        same_code: bool,
        forced: bool,
    ) -> None:
        self.forced = forced
        self._stage, self._config, self._inputs = stage, config, inputs
        self._listener, self._store = listener, store
        self._files = AttemptFiles(stage, store, folder)
        self.work = ShardWork(stage, config, store, self._files, listener, known, code, same_code)
        self.scratch = scratch
        self.facts: dict[str, Any] = {}
        self.totals: Totals | None = None
        self.rows_in = 0  # read from outside the store, as shard functions report it
        self.reasons: dict[str, Counter[str]] = {}
        self._notes: dict[str, int | float | list[str]] = {}

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

    def extend(self, name: str, fields: Sequence[pa.Field]) -> None:
        """Add columns behind those an output is declared with; before anything is written to it."""
        self._files.extend(name, fields)

    @contextlib.contextmanager
    def table(self, name: str, part: str = "part-00000") -> Iterator[PartWriter]:
        """Write a table from this process; published when the block ends without an error.

        Args:
            part: what its first file is called, without the ending: a table that is cut as an input
                is written a part at a time, each under the name of the input's.
        """
        schema = self._files.schema(name)
        folder = self._files.staging / f"table-{name}"
        writer = CountingWriter(folder, part, schema, name)
        with writer:
            yield writer
        for file in writer.files:
            self._files.publish(name, file, folder / file.path)
        for reason, count in writer.reasons.items():
            self.reasons.setdefault(name, Counter())[reason] += count

    def folder(self, name: str) -> Path:
        """A local folder to fill; every file in it is published with the manifest."""
        return self._files.folder(name)

    def lasting_folder(self, name: str) -> Path:
        """A local folder that outlives every attempt, `--force` as well: for what is known once and
        for all by its content, and dear to ask for again. It enters no identity.

        In the home where that is a folder of this machine, else among the downloads from it.
        """
        store = self._store
        folder = store.local_path(f"lasting/{name}") if store.local else store.cache_folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def data(self, name: str) -> Data:
        """Read back an output of this stage that is already written."""
        return self._files.data(name)

    def launch(
        self,
        module: str,
        run: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        ranks: Ranks = launch.ALONE,
        checkpoint: str = "",
    ) -> None:
        """Run a trainer in a process of its own.

        Args:
            ranks: its processes, if there are several.
            checkpoint: a pattern under the scratch folder for the file that makes a checkpoint
                whole; "" where the module writes none.

        Raises:
            TrainerError: it failed.  CancelledError: it was stopped.
        """

        def hear(event: dict[str, Any]) -> None:
            if event.get("event") == "log":
                self.log(str(event.get("message", "")))
            elif event.get("event") == "progress":
                known = {"event", "done", "total", "unit"}
                figures = {k: v for k, v in event.items() if k not in known and v is not None}
                self.progress(event["done"], event["total"], event["unit"], **figures)

        launch.launch(
            module,
            run,
            self.scratch,
            hear,
            self.cancelled,
            environment or {},
            ranks,
            checkpoint,
        )

    def alone(self, function: str, *arguments: Any, seconds: float) -> Any:
        """Call a function in a process of its own, which ends at once when the stage is to stop:
        for one long call of a library that hears of nothing else.

        Args:
            function: "module:name".
            arguments: pickled, as the result is.
            seconds: far more than it can take.

        Raises:
            CancelledError: the stage was cancelled.
            StalledError: the seconds are over.
            ChildFailedError: the function raised; `ChildCrashedError`: the
                process died.
        """
        with Child(None, self.cancelled) as child:
            try:
                return child.call(function, *arguments, timeout=seconds)
            except ChildStoppedError as error:
                raise CancelledError(f"{self._stage.name}: {error}") from None
            except ChildTimeoutError as error:
                raise StalledError(f"{self._stage.name}: {error}") from None

    def map(
        self,
        function: ShardFunction,
        over: str | Sequence[Item],
        arguments: Mapping[str, Any] | None = None,
        shared: Sequence[str] = (),
        each: Mapping[str, Mapping[str, Any]] | None = None,
        aligned: Sequence[str] = (),
        gather: bool = False,
        checked: bool = True,
        again: str = "",
        from_kept: bool = False,
        adopt_forced: bool = False,
        vouched: Sequence[str] = (),
        whole: bool = False,
    ) -> None:
        """Map a shard function over the parts of an input (or of an output), or over items.

        Finished shards of earlier attempts are adopted; see docs/stage-contract.md.

        Args:
            shared: inputs every shard reads as a whole; when one changes, all are built again.
            each: further arguments of single units, by name; they concern those alone.
            aligned: inputs cut into the same parts: each shard reads the one part that is called
                like its own (`Unit.aligned_file`), and only a change of that one concerns it.
            gather: read small parts together, several a shard (`shards/gathering.py`), where
                an input may have very many.
            checked: that an item's bytes are those of the snapshot; False where the function reads
                what the item names itself, and sees to that.
            again: an output; shards of earlier attempts that wrote to it are built once more.
            from_kept: a unit of which an earlier map of this run kept rows (`Kept`) is given those,
                `Unit.kept`, and not its file: what it is known by stays the file.
            adopt_forced: a forced attempt adopts finished shards too (of a stage that
                `looks_again`): what they are known by says which bytes they have.
            vouched: inputs every shard may read, which concern none: what a shard takes of them is
                told, with its digest, by the part it goes over, and the function sees to it.
            whole: parts that were cut by their number of rows alone (`name~0001`) are one shard.

        Raises:
            OutputError: `gather` with `each` or `aligned`, which go by the names of single parts.
            ShardError: more shards failed, each after two tries, than the config allows.
        """
        if gather and (each or aligned):
            raise OutputError("map: parts that are read together have no name of their own")
        inputs = {name: self._read(name) for name in shared if self._has(name)}
        outside = {name: self._inputs.external[name] for name in shared if self._is_external(name)}
        shared_ids = {name: data.data_id for name, data in inputs.items()}
        shared_ids |= {name: snapshot.data_id for name, snapshot in outside.items()}
        cut_alike = {name: self._read(name) for name in aligned}
        parts = {
            name: {part.path: data.item(part, part.path) for part in data.parts}
            for name, data in cut_alike.items()
        }
        inputs |= {name: self._read(name) for name in vouched}
        folders = {name: data.stored_folder() for name, data in inputs.items()}
        items = {name: snapshot.items for name, snapshot in outside.items()}
        units = [
            replace(
                unit,
                shared=folders,
                aligned={name: found[unit.part] for name, found in parts.items()},
                external=items,
            )
            for unit in self._units(over, gather, whole)
        ]
        name_of = function_name(function)
        schemas = {output: self._files.declared(output) for output in self._stage.outputs}
        own = {u.name: {**(arguments or {}), **(each or {}).get(u.name, {})} for u in units}
        ids = {
            unit.name: canonical.shard_id(
                self._stage.name,
                self._stage.version,
                name_of,
                {"name": unit.name, "sha256": unit.sha256},
                shared_ids | {name: item.sha256 for name, item in unit.aligned.items()},
                own[unit.name],
            )
            for unit in units
        }
        adopted = {} if self.forced and not adopt_forced else self.work.adopt(ids.values(), again)
        receipts = {name: adopted[shard] for name, shard in ids.items() if shard in adopted}
        jobs = [
            Job(
                function=name_of,
                unit=self._with_kept(unit) if from_kept else unit,
                arguments=own[unit.name],
                schemas=schemas,
                home=self._store.address,
                staging=self._files.shared,  # parts of an output have names of their own
                stem=part_stem(unit.name, external=unit.rows is None),
                shard_id=ids[unit.name],
                checked=checked,
            )
            for unit in units
            if unit.name not in receipts
        ]
        if jobs:
            # Whole, or nothing is built; and where the store is elsewhere, here once for all.
            for data in inputs.values():
                data.unchecked_folder()
        receipts |= self.work.build(jobs, len(receipts))
        for unit in units:  # in order of units, so that joined notes are deterministic
            if unit.name in receipts:
                self._count(receipts[unit.name], external=not isinstance(over, str))

    # -- what the engine calls ----------------------------------------------------

    def finish(self) -> dict[str, OutputRecord]:
        """Put folders in place and describe every output."""
        self.facts.update(self._notes)
        if self.work.failed:
            self.fact("failed_shards", self.work.failed)
        return self._files.finish()

    def abandon(self) -> None:
        """After a failure: take away what no later attempt can adopt."""
        self._files.abandon()

    # -- inside ---------------------------------------------------------------------

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

    def _units(self, over: str | Sequence[Item], gather: bool, whole: bool) -> Iterable[UnitFiles]:
        if isinstance(over, str):
            data = self._read(over)
            units = [
                unit_of(data.item(part, part.path.removesuffix(".parquet")), part.rows)
                for part in data.parts
            ]
        else:
            units = [unit_of(item, None) for item in over]
        if whole:
            return whole_tables(units)
        return gather_units(units) if gather else units

    def _with_kept(self, unit: UnitFiles) -> UnitFiles:
        return replace(unit, kept=self._files.kept(unit))

    def _count(self, receipt: Receipt, external: bool) -> None:
        if external:
            self.rows_in += receipt.rows_in
        for output, reasons in receipt.reasons.items():
            self.reasons.setdefault(output, Counter()).update(reasons)
        for name, value in receipt.notes.items():
            add_fact(self._notes, name, value)
