"""What is written of a run that has ended, beside its model: metrics, and what it was like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm.tables import METRICS
from llm.training.batches import Batches
from llm.training.meters import Meters
from llm.training.run_file import Run


def write(
    run: Run, sequence_length: int, batches: Batches, machine: Mapping[str, Any], meters: Meters
) -> None:
    """Write both files that the run names.

    Args:
        machine: facts of where and how it was trained.
    """
    columns = zip(*meters.rows, strict=True)
    pq.write_table(pa.table(list(map(list, columns)), schema=METRICS), run.paths.metrics)
    o, stability = run.optimisation, meters.stability
    result = {
        "parameters": run.architecture.parameters,
        "steps": o.steps,
        # Those of steps that changed something; epochs are of all that were drawn.
        "tokens": (o.steps - stability.not_taken) * o.batch_rows * sequence_length,
        "epochs": batches.epochs(o.steps),
        "flops_per_token": run.architecture.flops_per_token(sequence_length),
        **machine,
        **meters.facts(),
        "events": [asdict(event) for event in stability.events],
    }
    sources = [
        {"source": name, "tokens": rows * sequence_length, "epochs": epochs}
        for name, (rows, epochs) in batches.given(o.steps).items()
    ]
    result |= {"sources": sources} if sources else {}
    Path(run.paths.result).write_text(json.dumps(result, indent=1), encoding="utf-8")
