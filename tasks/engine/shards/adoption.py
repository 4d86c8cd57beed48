"""Mapping a shard function over units: what is known is adopted, the rest is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from llm.process.pace import Pace
from llm.tables import REJECTED
from tasks.engine.config import StageConfig
from tasks.engine.declare import Declared
from tasks.engine.errors import ShardError
from tasks.engine.progress import Listener
from tasks.engine.shards.attempt import AttemptFiles
from tasks.engine.shards.executors import Failure, Job, run_jobs, worker_count
from tasks.engine.shards.parts import PartWriter
from tasks.engine.shards.receipt import Receipt, verified_receipt
from tasks.engine.shards.unit import Unit
from tasks.engine.store.store import Store


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

    def adopt(self, shard: str) -> Receipt | None:
        """The shard of an earlier attempt, taken over; `None` if there is none that is whole."""
        where = self.known.get(shard)
        receipt = verified_receipt(self.store, where, shard) if where is not None else None
        if receipt is None or where is None or (self.same_code and receipt.code != self.code):
            return None
        self.files.adopt(receipt, where)
        self.adopted += 1
        self.adopted_otherwise += receipt.code != self.code
        return receipt

    def build(
        self, jobs: Sequence[Job], units: Mapping[str, Unit], done: int
    ) -> dict[str, Receipt]:
        """Run jobs in worker processes; a receipt for each, by the name of its unit.

        Args:
            done: units that need no job.

        Raises:
            ShardError: more shards failed, each after two tries, than the config allows.
        """
        receipts: dict[str, Receipt] = {}
        if not jobs:
            return receipts
        asked = int(getattr(self.config, "workers", 1))
        allowed = int(getattr(self.config, "max_failed_shards", 0))
        total = done + len(jobs)
        pace = Pace(total, done)
        failed: list[tuple[str, Failure]] = []
        workers = worker_count(asked, len(jobs))
        for job, outcome in run_jobs(list(jobs), workers, asked == 1, self.listener.cancelled):
            if isinstance(outcome, Failure):
                failed.append((job.name, outcome))
                name = self.stage.name
                self.listener.log(name, f"shard {job.name} failed twice: {outcome.kind}")
                if len(failed) > allowed:
                    raise ShardError(self._told(failed, allowed))
                receipts[job.name] = self._given_up(units[job.name], job, outcome)
            else:
                receipts[job.name] = self._finished(job, outcome)
            self.built += 1
            done += 1
            self.listener.progress(self.stage.name, done, total, "shard", pace.figures(done))
        self.failed |= {name: failure.kind for name, failure in failed}
        return receipts

    def _finished(self, job: Job, receipt: Receipt) -> Receipt:
        staging: Path = job.arguments[4]
        for output, files in receipt.files.items():
            for file in files:
                self.files.publish(output, file, staging / output / file.path)
        signed = receipt.model_copy(update={"code": self.code})
        self.files.receive(signed)
        return signed

    def _told(self, failed: Sequence[tuple[str, Failure]], allowed: int) -> str:
        lines = [f"- {name}: {failure.kind}\n{failure.message}" for name, failure in failed]
        return (
            f"{self.stage.name}: {len(failed)} shard(s) failed twice, {allowed} allowed "
            "(max_failed_shards):\n" + "\n".join(lines)
        )

    def _given_up(self, unit: Unit, job: Job, failure: Failure) -> Receipt:
        """Account for the rows of a shard that could not be built: all are rejected."""
        schema = self.stage.outputs.get("rejected")
        if schema is None or schema.schema != REJECTED or unit.rows is None:
            raise ShardError(self._told([(unit.name, failure)], 0))
        ids = unit.table(["doc_id"]).column("doc_id")
        reasons = pa.array(["shard_failed"] * len(ids), pa.string())
        details = pa.array([failure.kind] * len(ids), pa.string())
        table = pa.table({"doc_id": ids, "reason": reasons, "detail": details}, schema=REJECTED)
        folder = self.files.staging / f"failed-{job.arguments[6]}" / "rejected"
        with PartWriter(folder, job.arguments[5], REJECTED, unit.name) as writer:
            writer.write(table)
        for file in writer.files:
            self.files.publish("rejected", file, folder / file.path)
        return Receipt(
            shard_id=job.arguments[6],
            unit=unit.name,
            rows_in=len(ids),
            files={"rejected": writer.files},
            reasons={"rejected": {"shard_failed": len(ids)}},
            notes={},
            seconds=0.0,
        )
