"""Prompts with answers out of files of the user's, split as `examples` splits its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llm.alignment.examples.candidates import CandidateResult, batches
from llm.alignment.examples.files import ExampleFileError, FileSettings, examples_in
from llm.alignment.examples.selection import Caps, ExampleSelector
from llm.alignment.examples.tables import INSTRUCTION, INSTRUCTIONS, Example, Outcome
from llm.tables import REJECTED, REMOVED
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Snapshot
from tasks.stages.alignment import GivenRows

_AT_ONCE = 1024
_MOST_BYTES = 512 << 20  # of a row, and of a JSON list, which is read as a whole
_FILE = "prompts.parquet"


def prompts_in_files(
    snapshot: Snapshot, validation_fraction: float, split_seed: int, folder: Path
) -> GivenRows:
    """The prompts of files, written into a folder; of equal ones one, and none to learn from that
    begins like one that is held out.

    Raises:
        ExternalInputError: a file has no usable row.
    """
    outcomes = list(_outcomes(snapshot, validation_fraction, split_seed))
    selector = ExampleSelector()
    for outcome in outcomes:
        if isinstance(outcome, Example):
            selector.add(outcome)
    removals = selector.decide(Caps(0, 0, 0, None, 0))
    schemas = {"instructions": INSTRUCTIONS, "removed": REMOVED, "rejected": REJECTED}
    tables = {name: [schema.empty_table()] for name, schema in schemas.items()}
    counts: Counter[CandidateResult] = Counter()
    for name, table in batches(outcomes, removals, _AT_ONCE, counts):
        tables[name].append(table)
    made = {name: pa.concat_tables(parts) for name, parts in tables.items()}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(made["instructions"], folder / _FILE)
    return GivenRows([str(folder / _FILE)], len(outcomes), made["removed"], made["rejected"])


def _outcomes(snapshot: Snapshot, validation_fraction: float, split_seed: int) -> Iterator[Outcome]:
    settings = FileSettings(
        kind=INSTRUCTION,
        max_row_bytes=_MOST_BYTES,
        max_file_bytes=_MOST_BYTES,
        validation_fraction=validation_fraction,
        split_seed=split_seed,
    )
    for item in snapshot.items:
        try:
            yield from examples_in(Path(item.path), item.name, settings, Counter())
        except ExampleFileError as error:
            raise ExternalInputError(f"rlhf.prompt_files: {error}") from error
