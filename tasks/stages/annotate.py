"""annotate: every metric and score of every document, so that filtering is a matter of seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import Field

from llm.corpus.annotate import language_model
from llm.corpus.annotate.attributes import ATTRIBUTES, QUALITY, score_fields
from llm.corpus.annotate.by_path import Sources
from llm.process.guarded import LostDocument, guarded
from llm.tables import REJECTED
from tasks.engine.config import ShardedConfig, execution
from tasks.engine.declare import Conservation, Input, Output
from tasks.engine.errors import ExternalInputError, MissingInputError
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
from tasks.engine.shards.lost_documents import reject_lost
from tasks.engine.shards.unit import Emitted, Fact, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Data, Inputs
from tasks.panels.panels import Histogram, Panel, Table

_HISTOGRAMS = (
    ("quality_score", 0.0, 1.0),
    ("language_score", 0.0, 1.0),
    ("word_count", 0.0, 2000.0),
    ("mean_word_length", 0.0, 12.0),
    ("duplicate_5gram_char_fraction", 0.0, 1.0),
)
_LISTS = ("blocked_domains", "blocked_words", "toxic_words")
_BINS = 20
_LANGUAGES_SHOWN = 30


class AnnotateConfig(ShardedConfig):
    """Settings of the annotation; what to do with its numbers is `filter`'s business."""

    language_model: str = execution(
        "",
        "A fastText language model of your own, such as GlotLID's or OpenLID's, which then decides "
        "alone; empty = lid.176.ftz, which `make setup` installs, and py3langid beside it.",
    )
    language_model_sha256: str = execution(
        "",
        "SHA-256 that the file must have; empty = not checked.",
        pattern=r"^([0-9a-f]{64})?$",
    )
    language_characters: int = Field(
        2_000,
        description="Characters at the beginning of a text that identify its language; 0 = all.",
        ge=0,
    )
    blocked_domains: list[str] = execution(
        [], "Files or globs of domains, one per line; .gz, .zst. Subdomains count as hits."
    )
    blocked_words: list[str] = execution(
        [], "Files or globs of words or phrases to look for in URLs, one per line; .gz, .zst."
    )
    toxic_words: list[str] = execution(
        [], "Files or globs of words or phrases to count in texts, one per line; .gz, .zst."
    )


def externals(config: AnnotateConfig) -> Mapping[str, Snapshot]:
    """The language model, and block lists where there are any.

    Raises:
        ExternalInputError: a file does not exist, more than one language model is named, or
            the standard one was not set up or is not the pinned file.
    """
    path = config.language_model
    try:
        path = path or str(language_model.installed())
    except language_model.LanguageModelMissingError as error:
        raise ExternalInputError(f"annotate.language_model: {error}") from error
    found = {"language_model": snapshot_files([path], "annotate.language_model")}
    if not config.language_model:
        _check_digest(found["language_model"])
    elif config.language_model_sha256:
        _check_pinned(found["language_model"], config.language_model_sha256)
    count = len(found["language_model"].items)
    if count != 1:
        raise ExternalInputError(
            f"annotate.language_model: {path!r} stands for {count} files; name one model"
        )
    for name in _LISTS:
        patterns: list[str] = getattr(config, name)
        if patterns:
            found[name] = snapshot_files(patterns, f"annotate.{name}")
    return found


def _check_digest(standard: Snapshot) -> None:
    """Another file in the place of the standard model would be read for it in silence."""
    (item,) = standard.items
    if item.sha256 != language_model.SHA256:
        raise ExternalInputError(
            f"annotate.language_model: {item.path} is not lid.176.ftz (sha256 {item.sha256}); "
            f"`{language_model.COMMAND}` fetches it anew, and a model of yours is named in the "
            "field"
        )


def _check_pinned(model: Snapshot, sha256: str) -> None:
    for item in model.items:
        if item.sha256 != sha256:
            raise ExternalInputError(
                f"annotate.language_model: {item.path} has sha256 {item.sha256}, and "
                f"language_model_sha256 says {sha256}; name the file that has it, or correct it"
            )


def annotate_part(unit: Unit, language_characters: int) -> Iterator[Emitted]:
    """Attributes of one part of documents."""
    (model_item,) = unit.external["language_model"]
    sources = Sources(
        (model_item.path, model_item.sha256),
        # The standard model has a second one beside it, whichever way it was named.
        model_item.sha256 != language_model.SHA256,
        language_characters,
        _files(unit, "blocked_domains"),
        _files(unit, "blocked_words"),
        _files(unit, "toxic_words"),
        _models(unit.shared["model"]) if "model" in unit.shared else (),
    )
    documents = unit.tables(["doc_id", "url", "text", "robots"])
    for found in guarded("llm.corpus.annotate.by_path:annotate_documents", (sources,), documents):
        if isinstance(found, LostDocument):
            yield from reject_lost(found)
            continue
        yield "attributes", found.attributes
        lost = found.without_text
        if lost:
            reasons, details = ["no_text"] * len(lost), ["null or whitespace only"] * len(lost)
            yield "rejected", pa.table([lost, reasons, details], schema=REJECTED)
        yield Fact("without_language", found.attributes.column("language").null_count)


def _models(folder: Path) -> tuple[tuple[str, int], ...]:
    """The folder of each classifier, and when its model was written."""
    models = sorted(folder.glob("*/model.bin"))
    return tuple((str(model.parent), model.stat().st_mtime_ns) for model in models)


def _files(unit: Unit, name: str) -> tuple[tuple[str, str], ...]:
    return tuple((item.path, item.sha256) for item in unit.external.get(name, ()))


def _names(model: Data) -> set[str]:
    """Of the classifiers in the output of `quality`.

    Raises:
        MissingInputError: it has none where they are looked for.
    """
    paths = [part.path for part in model.parts]
    names = {path.removesuffix("/model.bin") for path in paths if path.endswith("/model.bin")}
    if not names:
        raise MissingInputError(
            "annotate: the model of quality was built by an earlier version, which had one "
            "classifier in no folder of its own; `ingot run --only quality` builds it again"
        )
    return names


def run(config: AnnotateConfig, inputs: Inputs, out: Out) -> None:
    """Annotate every part of the documents."""
    classifiers = _names(inputs["model"]) if "model" in inputs else set()
    out.extend("attributes", score_fields(classifiers))
    out.map(
        annotate_part,
        over="documents",
        arguments={"language_characters": config.language_characters},
        shared=("model", "language_model", *_LISTS),
    )
    if QUALITY not in classifiers:
        out.log("no classifier called quality in the recipe: quality_score is null")


def panels(artifact: Artifact) -> list[Panel]:
    """Languages, medians of every metric, and histograms of the scores."""
    table = artifact.data("attributes").table()
    shown: list[Panel] = [_languages(table)]
    rows = []
    for field in table.schema:
        if not (pa.types.is_floating(field.type) or pa.types.is_integer(field.type)):
            continue
        column = table.column(field.name)
        values = column.drop_null().to_numpy()
        if len(values):
            low, middle, high = np.percentile(values, (5, 50, 95)).tolist()
            rows.append([field.name, low, middle, high, column.null_count])
        else:
            rows.append([field.name, None, None, None, column.null_count])
    columns = ["metric", "5 %", "median", "95 %", "null"]
    shown.append(Table("Metrics over all documents", columns, rows))
    scores = [
        (field.name, 0.0, 1.0) for field in table.schema if field.name not in ATTRIBUTES.names
    ]
    for name, low, high in (*scores, *_HISTOGRAMS):
        values = table.column(name).drop_null().to_numpy()
        if len(values):
            clipped = np.clip(values, low, high)
            counts, edges = np.histogram(clipped, bins=_BINS, range=(low, high))
            counted = {"documents": [float(count) for count in counts]}
            note = f"Values beyond {high:g} are in the last bar." if values.max() > high else ""
            shown.append(Histogram(name, name, edges.tolist(), counted, note))
    return shown


def _languages(table: pa.Table) -> Table:
    counted = table.column("language").value_counts().to_pylist()
    ordered = sorted((-row["counts"], row["values"] or "(none)") for row in counted)
    total = max(table.num_rows, 1)
    rows = [[name, -count, -count / total] for count, name in ordered[:_LANGUAGES_SHOWN]]
    note = f"{len(ordered)} languages in all." if len(ordered) > _LANGUAGES_SHOWN else ""
    return Table("Languages", ["language", "documents", "share"], rows, note)


STAGE = Stage(
    name="annotate",
    version=5,
    description="Metrics and scores of every document: URL, heuristics, language, quality, PII.",
    config=AnnotateConfig,
    inputs={
        "documents": Input(("sites.documents", "clean.documents"), "Cleaned documents."),
        "model": Input(("quality.model",), "The classifiers.", optional=True),
    },
    outputs={
        "attributes": Output(
            "One row per document, one column per metric, then one per classifier.",
            ATTRIBUTES,
            unique_ids=True,
        ),
        "rejected": Output("Documents without a text, and those that could not be read.", REJECTED),
    },
    run=run,
    panels=panels,
    externals=externals,
    conservation=Conservation("documents", kept="attributes", rejected="rejected"),
    libraries=("fasttext-community", "numpy", "py3langid", "pyarrow"),
    code=("llm.corpus.annotate.by_path",),
)
