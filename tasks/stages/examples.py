"""examples: instructions, preferences and thumbs, made of documents or read from files."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field, model_validator

from llm.alignment.examples import candidates
from llm.alignment.examples.candidates import TABLES, CandidateResult, batches
from llm.alignment.examples.decontaminate import without_evaluation_items
from llm.alignment.examples.files import ExampleFileError, FileSettings, examples_in
from llm.alignment.examples.outcome_file import read_outcomes, write_outcomes
from llm.alignment.examples.selection import Caps, ExampleSelector
from llm.alignment.examples.tables import (
    INSTRUCTION,
    INSTRUCTIONS,
    PREFERENCE,
    PREFERENCES,
    THUMB,
    THUMBS,
    Example,
    Kind,
    Outcome,
)
from llm.process.guarded import TIMEOUT
from llm.pydocs.examples import COLUMNS, documentation_examples
from llm.pydocs.pairs import PairSettings
from llm.tables import REJECTED, REMOVED
from tasks.engine.config import StageConfig, execution
from tasks.engine.declare import Input, Output
from tasks.engine.errors import (
    ConservationError,
    ExternalInputError,
    IngotError,
    MissingInputError,
)
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
from tasks.engine.shards.lost_documents import TIMING_DEPENDENT
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Inputs
from tasks.stages.examples_panels import panels

_FILES: Mapping[str, Kind] = {
    "instruction_files": INSTRUCTION,
    "preference_files": PREFERENCE,
    "thumb_files": THUMB,
}
_AT_ONCE = 1024  # rows held before they are written
_IDS_SHOWN = 5

Unread = dict[str, Counter[str]]  # rows by field, of each file


class NoExamplesError(IngotError):
    """Neither documents nor files gave a single example; says why each was left out."""


class ExamplesConfig(StageConfig):
    """Where examples come from, how they are made of documents, and what goes to validation."""

    make_from_documents: bool = Field(
        True, description="Make examples from pages of Python documentation (URLs pydocs://...)."
    )
    instruction_files: list[str] = execution(
        [], "Files, folders or globs of instructions: JSONL, JSON, CSV, TSV, Parquet; .gz, .zst."
    )
    preference_files: list[str] = execution(
        [], "Files, folders or globs of preferences: JSONL, JSON, CSV, TSV, Parquet; .gz, .zst."
    )
    thumb_files: list[str] = execution(
        [],
        "Files, folders or globs of answers with a thumb up or down: JSONL, JSON, CSV, TSV, "
        "Parquet; .gz, .zst.",
    )
    validation_fraction: float = Field(
        0.05,
        description="Share of prompts in files for validation; documents bring their own split.",
        ge=0,
        le=0.5,
    )
    min_answer_chars: int = Field(
        40, description="Shorter answers of documents are left out.", ge=1, le=10_000
    )
    max_answer_chars: int = Field(
        600,
        description="Longer answers of documents are cut after a sentence.",
        ge=50,
        le=100_000,
    )
    length_tolerance: float = Field(
        0.25,
        description="By what share of the chosen answer's length the rejected one may differ.",
        ge=0,
        le=1,
    )
    max_overlap: float = Field(
        0.7,
        description="Answers whose words overlap this much (Jaccard) make no pair.",
        gt=0,
        le=1,
    )
    max_sibling_uses: int = Field(
        3,
        description="Pairs of a document in which the same answer may be the rejected one.",
        ge=1,
        le=1000,
    )
    max_instructions: int = Field(
        50_000, description="Most instructions made from train documents; 0 = none.", ge=0
    )
    max_preferences: int = Field(
        20_000, description="Most preferences made from train documents; 0 = none.", ge=0
    )
    max_validation_examples: int = Field(
        1_000, description="Most of either kind made from validation documents; 0 = none.", ge=0
    )
    max_from_files: int = Field(0, description="Most of each kind read from files; 0 = all.", ge=0)
    max_row_bytes: int = Field(
        16 << 20, description="Longer lines of JSONL files are rejected.", ge=1 << 10, le=1 << 30
    )
    max_file_bytes: int = Field(
        512 << 20,
        description="A JSON list is read as a whole; larger ones are rejected.",
        ge=1 << 10,
        le=1 << 34,
    )
    seed: int = Field(0, description="Random seed of wordings, pairs and what the caps keep.", ge=0)
    split_seed: int = Field(
        0, description="Another seed draws other prompts of files for validation.", ge=0
    )

    @model_validator(mode="after")
    def _consistent(self) -> ExamplesConfig:
        if not (self.make_from_documents or any(getattr(self, name) for name in _FILES)):
            raise ValueError(
                "there is nothing to make examples from: set make_from_documents, "
                "instruction_files, preference_files or thumb_files"
            )
        if self.min_answer_chars > self.max_answer_chars:
            raise ValueError("min_answer_chars exceeds max_answer_chars: no answer would fit")
        return self


def externals(config: ExamplesConfig) -> Mapping[str, Snapshot]:
    """The files of instructions, of preferences and of thumbs."""
    named = {name: getattr(config, name) for name in _FILES}
    return {
        name: snapshot_files(paths, f"examples.{name}") for name, paths in named.items() if paths
    }


def run(config: ExamplesConfig, inputs: Inputs, out: Out) -> None:
    """Look at every candidate once to decide, and once more to write: texts are never all held.

    They are made once and kept on disk meanwhile: what the net under it catches hangs on the
    clock, and both passes must see the same.

    Raises:
        MissingInputError: documents are asked for, and the recipe has none.
        ExternalInputError: a file has no usable row.
        NoExamplesError: nothing is left.
    """
    if config.make_from_documents and inputs.get("documents") is None:
        raise MissingInputError(
            "examples.make_from_documents: the recipe has no dedup stage to make examples of; "
            "add it, or set make_from_documents: false"
        )
    selector, doc_ids, unread = ExampleSelector(), list[str](), Unread()
    path, timed_out = out.scratch / "outcomes", list[str]()
    try:
        _prepare(config, inputs, unread, path)
        for outcome in read_outcomes(path):
            doc_ids.append(outcome.doc_id)
            if isinstance(outcome, Example):
                selector.add(outcome)
            elif outcome.reason == TIMEOUT:
                timed_out.append(outcome.doc_id)
        removals = selector.decide(_caps(config))
        counts: Counter[CandidateResult] = Counter()
        with contextlib.ExitStack() as stack:
            writers = {name: stack.enter_context(out.table(name)) for name in TABLES}
            for name, table in batches(read_outcomes(path), removals, _AT_ONCE, counts):
                writers[name].write(table)
                out.progress(counts.total(), len(doc_ids), "example")
    finally:
        path.unlink(missing_ok=True)
    _account(out, doc_ids, counts)
    if timed_out:
        out.fact(TIMING_DEPENDENT, timed_out)
    for name, fields in unread.items():
        listed = ", ".join(f"{field} ({rows} rows)" for field, rows in sorted(fields.items()))
        out.log(f"{name}: fields that were not used: {listed}")
    out.fact(
        "unread_fields",
        [
            {"file": name, "field": field, "rows": rows}
            for name, fields in unread.items()
            for field, rows in sorted(fields.items())
        ],
    )


def _caps(config: ExamplesConfig) -> Caps:
    return Caps(
        instructions=config.max_instructions,
        preferences=config.max_preferences,
        validation=config.max_validation_examples,
        from_files=config.max_from_files or None,
        seed=config.seed,
    )


def _prepare(config: ExamplesConfig, inputs: Inputs, unread: Unread, path: Path) -> None:
    """Write every candidate's outcome, in an order that is the same each time, to a file."""
    write_outcomes(_candidates(config, inputs, unread), path)
    sought, common = inputs.get("sought"), inputs.get("common")
    if sought is None or not sought.rows:
        return
    files = [str(sought.path(part)) for part in sought.parts]
    dropped = common.table().column("ngram").to_pylist() if common is not None else []
    searched = path.with_name(f"{path.name}-searched")
    try:
        write_outcomes(without_evaluation_items(read_outcomes(path), files, dropped), searched)
        searched.replace(path)
    finally:
        searched.unlink(missing_ok=True)


def _candidates(config: ExamplesConfig, inputs: Inputs, unread: Unread) -> Iterator[Outcome]:
    for name, kind in _FILES.items():
        file_settings = FileSettings(
            kind=kind,
            max_row_bytes=config.max_row_bytes,
            max_file_bytes=config.max_file_bytes,
            validation_fraction=config.validation_fraction,
            split_seed=config.split_seed,
        )
        snapshot = inputs.external.get(name)
        for item in snapshot.items if snapshot else ():
            try:
                fields = unread.setdefault(item.name, Counter())
                yield from examples_in(Path(item.path), item.name, file_settings, fields)
            except ExampleFileError as error:
                raise ExternalInputError(f"examples.{name}: {error}") from error
    if config.make_from_documents:
        yield from _make_from_documents(config, inputs)


def _make_from_documents(config: ExamplesConfig, inputs: Inputs) -> Iterator[Outcome]:
    settings = PairSettings(
        min_chars=config.min_answer_chars,
        max_chars=config.max_answer_chars,
        tolerance=config.length_tolerance,
        max_overlap=config.max_overlap,
        max_uses=config.max_sibling_uses,
        seed=config.seed,
    )
    yield from documentation_examples(inputs["documents"].tables(COLUMNS), settings)


def _account(out: Out, doc_ids: list[str], counts: Counter[CandidateResult]) -> None:
    """State the law of conservation, after comparing ids in with ids out."""
    reasons: dict[str, Counter[str]] = {
        name: Counter() for name in (candidates.KEPT, candidates.REMOVED, candidates.REJECTED)
    }
    for key, count in sorted(counts.items()):
        reasons[key.result][key.reason] += count
    kept = reasons[candidates.KEPT].total()
    removed, rejected = reasons[candidates.REMOVED], reasons[candidates.REJECTED]
    if not kept:
        raise NoExamplesError(
            f"examples: no example from any of {len(doc_ids)} candidates; left out were "
            f"{dict(removed + rejected) or 'none'}. Documents must be pages of Python "
            "documentation (a source of kind pydocs); or name instruction_files, preference_files "
            "or thumb_files"
        )
    written = Counter[str]()
    for name in TABLES:
        for table in out.data(name).tables(["doc_id"]):
            written.update(table.column("doc_id").to_pylist())
    expected = Counter(doc_ids)
    if written != expected:
        shown = ", ".join(sorted((written - expected) + (expected - written))[:_IDS_SHOWN])
        raise ConservationError(
            f"examples: the ids of candidates and of rows written differ, in {shown}; "
            "nothing was published"
        )
    out.conserve(len(doc_ids), kept, dict(removed), dict(rejected), unit="example")
    out.fact("candidates", [{**key._asdict(), "rows": n} for key, n in sorted(counts.items())])


STAGE = Stage(
    name="examples",
    version=5,
    description="Instructions, preferences and thumbs, made from documents or read from files.",
    config=ExamplesConfig,
    inputs={
        "documents": Input(
            ("decontaminate.documents", "dedup.documents"),
            "Documents with their split, to make examples from.",
            optional=True,
        ),
        "sought": Input(
            ("decontaminate.sought",),
            "Texts of evaluation sets, not to be learned.",
            optional=True,
        ),
        "common": Input(
            ("decontaminate.common",),
            "N-grams that are no evidence of them.",
            optional=True,
        ),
    },
    outputs={
        "instructions": Output("Conversations that end with an answer.", INSTRUCTIONS, True),
        "preferences": Output("A prompt with a better and a worse answer.", PREFERENCES, True),
        "thumbs": Output("An answer, and whether it is one to give or to avoid.", THUMBS, True),
        "removed": Output("Candidates a setting leaves out, and duplicates.", REMOVED),
        "rejected": Output("Rows and pages that no example could be made from.", REJECTED),
    },
    run=run,
    panels=panels,
    externals=externals,
    libraries=("xxhash",),
    code=("llm.pydocs.examples", "llm.alignment.examples.decontaminate"),
    reported_after="pretrain",
)
