"""Mapping a shard function over units: what is known is adopted, the rest is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from llm.process.pace import Pace
from llm.tables import REJECTED
from tasks.engine.config import StageConfig
from tasks.engine.declare import Declared
from tasks.engine.errors import CancelledError, ShardError
from tasks.engine.progress import Listener
from tasks.engine.shards.attempt import AttemptFiles
from tasks.engine.shards.earlier_receipts import verified_intermediate, verified_receipt
from tasks.engine.shards.executors import Executor
from tasks.engine.shards.intermediate import FOLDER
from tasks.engine.shards.job import Job
from tasks.engine.shards.parts import PartWriter
from tasks.engine.shards.place import Place, executor, place_of
from tasks.engine.shards.receipt import Receipt
from tasks.engine.shards.run_jobs import Failure, run_jobs
from tasks.engine.shards.unit_files import open_unit
from tasks.engine.store.store import Store
from tasks.panels.numbers import counted

# Digests are computed side by side, and several answers of the file system are waited for at once.
# Tiny shards are handed to a thread some at a time: each would cost less than handing it over.
_READERS, _BATCH = 16, 32


@dataclass
class ShardWork:
    """Builds the shards of one attempt.

    Attributes:
        known: shard id -> attempt folder, of shards that may be adopted.
        code: identity of the code that runs; recorded in receipts.
        same_code: adopt only what this very code built.
        built, adopted, adopted_otherwise: shards so far; the last are those of other code.
        failed: kind of failure of each shard that was given up.
    """

    stage: Declared
    config: StageConfig
    store: Store
    files: AttemptFiles
    listener: Listener
    known: Mapping[str, str]
    code: str
    same_code: bool
    built: int = 0
    adopted: int = 0
    adopted_otherwise: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    _with_intermediate: dict[str, bool] = field(default_factory=dict)

    def adopt(self, shards: Iterable[str], again: str = "") -> dict[str, Receipt]:
        """Take over those shards that an earlier attempt has, whole; their receipts by shard id.

        Args:
            again: shards that wrote to this output are left alone.

        Raises:
            CancelledError: the run is to stop.
        """
        known = [shard for shard in shards if shard in self.known]
        batches = [known[start : start + _BATCH] for start in range(0, len(known), _BATCH)]
        receipts: dict[str, Receipt] = {}
        pool = ThreadPoolExecutor(_READERS)
        try:
            for batch in pool.map(partial(self._adopt_batch, again), batches):
                if self.listener.cancelled():
                    raise CancelledError("cancelled; finished shards are kept")
                receipts |= {receipt.shard_id: receipt for receipt in batch}
        finally:
            pool.shutdown(cancel_futures=True)
        self.adopted += len(receipts)
        self.adopted_otherwise += sum(receipt.code != self.code for receipt in receipts.values())
        return receipts

    def _adopt_batch(self, again: str, shards: Sequence[str]) -> list[Receipt]:
        """Of some shards those that are whole, taken over."""
        code = self.code if self.same_code else None
        receipts = []
        for shard in shards:
            where = self.known[shard]
            receipt = verified_receipt(self.store, where, shard, code)
            if receipt is not None and again not in receipt.files:
                self.files.adopt(receipt, where)
                if receipt.code == self.code:  # no other need understand what was kept
                    self._adopt_intermediate(shard, where)
                receipts.append(receipt)
        return receipts

    def _adopt_intermediate(self, shard: str, where: str) -> None:
        """What it kept for a later map: there is such a folder in unfinished attempts alone."""
        if where not in self._with_intermediate:
            self._with_intermediate[where] = bool(self.store.names(f"{where}/{FOLDER}"))
        if self._with_intermediate[where]:
            kept = verified_intermediate(self.store, where, shard)
            if kept is not None:
                self.files.adopt_intermediate(shard, kept, where)

    def build(self, jobs: Sequence[Job], done: int) -> dict[str, Receipt]:
        """Have jobs carried out; a receipt for each, by the name of its unit.

        Args:
            done: units that need no job.

        Raises:
            ShardError: more shards failed, each after two tries, than the config allows.
        """
        receipts: dict[str, Receipt] = {}
        if not jobs:
            return receipts
        allowed = int(getattr(self.config, "max_failed_shards", 0))
        total = done + len(jobs)
        pace = Pace(total, done)
        failed: list[tuple[str, Failure]] = []
        # Other processes do not see what one has in its memory.
        asked = Place("processes", "", 1) if self.store.in_memory else place_of(self.config)
        with closing(executor(asked, len(jobs))) as place:
            taker = _Lending(place, self.files.lend) if place.elsewhere else place
            for job, outcome in run_jobs(jobs, taker, self.listener.cancelled):
                if isinstance(outcome, Failure):
                    failed.append((job.name, outcome))
                    name = self.stage.name
                    self.listener.log(name, f"shard {job.name} failed twice: {outcome.kind}")
                    if len(failed) > allowed:
                        raise ShardError(self._failure_message(failed, allowed))
                    receipts[job.name] = self._reject_rows(job, outcome)
                else:
                    receipts[job.name] = self._finish(outcome)
                self.built += 1
                done += 1
                self.listener.progress(self.stage.name, done, total, "shard", pace.figures(done))
        self.failed |= {name: failure.kind for name, failure in failed}
        return receipts

    def _finish(self, receipt: Receipt) -> Receipt:
        for output, files in receipt.files.items():
            for file in files:
                self.files.receive_part(output, file)
        if receipt.intermediate is not None:
            self.files.receive_intermediate(receipt.shard_id, receipt.intermediate)
        signed = receipt.model_copy(update={"code": self.code})
        self.files.receive(signed)
        return signed

    def _failure_message(self, failed: Sequence[tuple[str, Failure]], allowed: int) -> str:
        lines = [f"- {name}: {failure.kind}\n{failure.message}" for name, failure in failed]
        return (
            f"{self.stage.name}: {counted(len(failed), 'shard')} failed twice, {allowed} allowed "
            "(max_failed_shards):\n" + "\n".join(lines)
        )

    def _reject_rows(self, job: Job, failure: Failure) -> Receipt:
        """Account for the rows of a shard that could not be built: all are rejected."""
        schema, unit = self.stage.outputs.get("rejected"), job.unit
        if schema is None or schema.schema != REJECTED or unit.rows is None:
            raise ShardError(self._failure_message([(unit.name, failure)], 0))
        ids = (
            open_unit(replace(unit, kept=None), self.store, Path())
            .table(["doc_id"])
            .column("doc_id")
        )
        reasons = pa.array(["shard_failed"] * len(ids), pa.string())
        details = pa.array([failure.kind] * len(ids), pa.string())
        table = pa.table({"doc_id": ids, "reason": reasons, "detail": details}, schema=REJECTED)
        folder = self.files.staging / f"failed-{job.shard_id}" / "rejected"
        with PartWriter(folder, job.stem, REJECTED, unit.name) as writer:
            writer.write(table)
        for file in writer.files:
            self.files.publish("rejected", file, folder / file.path)
        return Receipt(
            shard_id=job.shard_id,
            unit=unit.name,
            rows_in=len(ids),
            files={"rejected": writer.files},
            reasons={"rejected": {"shard_failed": len(ids)}},
            notes={},
            seconds=0.0,
        )


class _Lending:
    """An executor elsewhere, given with each job what that reads of this machine."""

    elsewhere = True

    def __init__(self, place: Executor, lend: Callable[[Job], Job]) -> None:
        self._place, self._lend = place, lend

    @property
    def at_once(self) -> int:
        return self._place.at_once

    def submit(self, job: Job) -> Future[Receipt]:
        return self._place.submit(self._lend(job))

    def close(self) -> None:
        self._place.close()
