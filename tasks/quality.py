"""quality: a fastText classifier trained from labelled positives and negatives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from tasks.engine.config import Part, StageConfig, execution
from tasks.engine.errors import ExternalInputError, MissingInputError
from tasks.engine.panels import Histogram, Panel, Table
from tasks.engine.snapshot import Item, Snapshot, snapshot_files
from tasks.engine.stage import DOC_ID, REJECTED, Input, Output, Stage

if TYPE_CHECKING:
    from llm.corpus.labels import Division, LabelledText, Sampler
    from llm.corpus.quality import QualityClassifier
    from tasks.engine.artifact import Artifact, Inputs
    from tasks.engine.output import Out

HELD_OUT = pa.schema(
    [
        DOC_ID,
        pa.field("source", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
    ]
)
_PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
THRESHOLD = 0.5


class LabelSource(Part):
    """Where labelled texts of one class come from."""

    name: str = Field(
        description="Name of the source in counts and in the held-out table.",
        pattern=r"^[A-Za-z0-9_.-]+$",
    )
    kind: Literal["documents", "files"] = Field(
        "documents", description="The cleaned documents of this recipe, or files of yours."
    )
    paths: list[str] = execution(
        [], "Files or globs for kind files: .parquet, .jsonl, .txt (one text a line); .gz, .zst."
    )
    text_field: str = Field("text", description="Field that holds the text.", min_length=1)
    where_field: str = Field("", description="Only rows whose field ... ; empty = all rows.")
    where_value: str = Field("", description="... has this value (numbers compare by value).")
    url_pattern: str = Field(
        "", description="Regular expression the URL of a document must contain; kind documents."
    )
    opening: bool = Field(
        False,
        description="Of pages of documentation only the docstring of the module, above the first "
        "definition; kind documents.",
    )
    min_chars: int = Field(200, description="Shorter texts are left out.", ge=1)
    max_chars: int = Field(0, description="Longer texts are left out; 0 = no bound.", ge=0)
    max_rows: int = Field(
        20_000, description="Rows used at most, a sample fixed by hash; 0 = all.", ge=0
    )

    @field_validator("url_pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _fits(self) -> LabelSource:
        if self.kind == "files" and (self.url_pattern or self.opening):
            raise ValueError(f"{self.name}: url_pattern and opening apply to kind documents only")
        if self.kind == "documents" and self.paths:
            raise ValueError(f"{self.name}: paths apply to kind files only")
        if self.max_chars and self.max_chars < self.min_chars:
            raise ValueError(f"{self.name}: max_chars is smaller than min_chars")
        return self


class QualityConfig(StageConfig):
    """Settings of the quality classifier; the fastText ones are those of DCLM."""

    positives: list[LabelSource] = Field([], description="Texts as the model should read more of.")
    negatives: list[LabelSource] = Field([], description="Texts of ordinary or bad quality.")
    held_out_share: float = Field(
        0.1, description="Share of the texts that measures instead of training.", gt=0, lt=1
    )
    min_examples: int = Field(
        20, description="Fewest distinct texts a class must have to train on.", ge=1
    )
    dim: int = Field(100, description="Length of word vectors.", ge=1, le=1000)
    learning_rate: float = Field(0.1, description="At the start; falls to 0.", gt=0, le=10)
    epochs: int = Field(5, description="Passes over the texts.", ge=1, le=1000)
    word_ngrams: int = Field(2, description="Longest word n-gram.", ge=1, le=5)
    min_count: int = Field(1, description="Rarer words are ignored.", ge=1)
    bucket: int = Field(
        200_000,
        description="Hash buckets of the n-grams; the model takes 4 * dim * bucket bytes "
        "(80 MB; fastText's own 2,000,000 takes 800 MB).",
        ge=1,
        le=10_000_000,
    )
    seed: int = Field(1, description="Of samples, order, held-out share and vectors.", ge=0)

    @model_validator(mode="after")
    def _unique_names(self) -> QualityConfig:
        names = [source.name for source in (*self.positives, *self.negatives)]
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        if repeated:
            raise ValueError(f"two label sources are called {', '.join(repeated)}; rename one")
        return self


def externals(config: QualityConfig) -> Mapping[str, Snapshot]:
    """The label files of both classes under the names `positives` and `negatives`.

    Raises:
        ExternalInputError: a class has no source, a source of files no path, or a path no file.
    """
    found = {}
    classes = {"positives": config.positives, "negatives": config.negatives}
    for name, sources in classes.items():
        if not sources:
            raise ExternalInputError(
                f"quality.{name}: empty; the classifier needs at least one source of {name}, "
                "or remove the stage from the recipe"
            )
        items: list[Item] = []
        for index, source in enumerate(sources):
            if source.kind == "documents":
                continue
            field = f"quality.{name}[{index}].paths"
            if not source.paths:
                raise ExternalInputError(f"{field}: empty; name files or use kind: documents")
            items += snapshot_files(source.paths, field, prefix=f"{source.name}/").items
        if items:
            found[name] = Snapshot(tuple(sorted(items, key=lambda item: item.name)))
    return found


def run(config: QualityConfig, inputs: Inputs, out: Out) -> None:
    """Collect labels, train, score the held-out share."""
    from llm.corpus.labels import divide
    from llm.corpus.quality import FastTextSettings, QualityClassifier, train

    samplers: dict[str, list[Sampler]] = {}
    with out.table("rejected") as rejected:
        for name, sources in (("positives", config.positives), ("negatives", config.negatives)):
            samplers[name] = []
            for source in sources:
                sampler, bad = _collected(source, config.seed, inputs, name)
                if bad:
                    columns = [list(column) for column in zip(*bad, strict=True)]
                    rejected.write(pa.table(columns, schema=REJECTED))
                samplers[name].append(sampler)
                out.log(f"{source.name}: {sampler.used} of {sampler.rows} texts")
    texts = {name: [t for s in group for t in s.texts()] for name, group in samplers.items()}
    division = divide(
        texts["positives"],
        texts["negatives"],
        config.held_out_share,
        config.min_examples,
        config.seed,
    )
    settings = FastTextSettings(
        dim=config.dim,
        learning_rate=config.learning_rate,
        epochs=config.epochs,
        word_ngrams=config.word_ngrams,
        min_count=config.min_count,
        bucket=config.bucket,
        seed=config.seed,
    )
    folder = out.folder("model")
    train([(label, item.text) for label, item in division.train], settings, out.scratch, folder)
    _evaluate(out, division.held_out, QualityClassifier(folder))
    out.fact(
        "trained_on",
        {
            "positive": sum(label for label, _ in division.train),
            "negative": sum(not label for label, _ in division.train),
        },
    )
    _account(out, samplers, division)


def _collected(
    source: LabelSource, seed: int, inputs: Inputs, group: str
) -> tuple[Sampler, list[tuple[str, str, str]]]:
    """One source read to its end: the sampler that holds its texts, and its unusable rows."""
    from llm.corpus.label_sources import Condition, offer_documents, offer_file
    from llm.corpus.labels import Sampler

    condition = Condition(
        source.text_field,
        source.where_field,
        source.where_value,
        source.url_pattern,
        source.opening,
    )
    sampler = Sampler(source.name, source.min_chars, source.max_chars, source.max_rows, seed)
    bad: list[tuple[str, str, str]] = []
    if source.kind == "files":
        for item in inputs.external[group].items:
            if item.name.startswith(f"{source.name}/"):
                path = Path(item.path)
                bad += offer_file(sampler, path, item.name, item.sha256, condition)
        return sampler, bad
    documents = inputs.get("documents")
    if documents is None:
        raise MissingInputError(
            f"quality: label source {source.name!r} is of kind documents, but the recipe has no "
            "clean stage; add it, or use kind: files"
        )
    bad += offer_documents(sampler, documents.tables(), condition)
    return sampler, bad


def _evaluate(
    out: Out, held_out: Sequence[tuple[bool, LabelledText]], model: QualityClassifier
) -> None:
    """Write the scored held-out texts and record what they say about the model."""
    import numpy as np

    from llm.corpus.classification import binary_metrics

    labels = [label for label, _ in held_out]
    scores = model.score([item.text for _, item in held_out])
    with out.table("heldout") as table:
        columns = [
            [item.id for _, item in held_out],
            [item.source for _, item in held_out],
            [int(label) for label in labels],
            scores,
        ]
        table.write(pa.table(columns, schema=HELD_OUT))
    metrics = binary_metrics(labels, scores, THRESHOLD)
    for name, value in asdict(metrics).items():
        out.fact(name, value)
    for name, wanted in (("positive", True), ("negative", False)):
        chosen = [s for label, s in zip(labels, scores, strict=True) if label is wanted]
        if chosen:
            cuts = np.percentile(chosen, _PERCENTILES).tolist()
            ranks = [f"p{rank}" for rank in _PERCENTILES]
            out.fact(f"{name}_scores", dict(zip(ranks, cuts, strict=True)))


def _account(out: Out, samplers: Mapping[str, Sequence[Sampler]], division: Division) -> None:
    """State where every labelled row went."""
    rows, removed, rejected = 0, Counter(division.removed), Counter[str]()
    sources = []
    for group, members in samplers.items():
        for sampler in members:
            rows += sampler.rows
            removed.update(sampler.removed)
            rejected.update(sampler.rejected)
            sources.append(
                {
                    "name": sampler.source,
                    "class": group.removesuffix("s"),
                    "rows": sampler.rows,
                    "used": sampler.used,
                    "removed": dict(sorted(sampler.removed.items())),
                    "rejected": dict(sorted(sampler.rejected.items())),
                }
            )
    kept = len(division.train) + len(division.held_out)
    removed_by_reason = dict(sorted(removed.items()))
    out.conserve(rows, kept, removed_by_reason, dict(sorted(rejected.items())), unit="text")
    out.fact("sources", sources)
    out.fact("duplicates", dict(division.removed))


def panels(artifact: Artifact) -> list[Panel]:
    """Held-out metrics, where the texts came from, and the scores of either class."""
    facts = artifact.facts
    figures = ("precision", "recall", "f1", "auc", "positives", "negatives")
    sources = [
        [s["name"], s["class"], s["rows"], s["used"], _listed(s["removed"], s["rejected"])]
        for s in facts.get("sources", [])
    ]
    shown: list[Panel] = [
        Table(
            "Quality classifier on held-out texts",
            ["metric", "value"],
            [[name, facts.get(name)] for name in figures],
            note=f"Precision, recall and F1 at a score of {THRESHOLD}.",
        ),
        Table("Labelled texts", ["source", "class", "rows", "used", "left out"], sources),
    ]
    table = artifact.data("heldout").table(["label", "score"])
    if table.num_rows:
        labels, scores = table.column("label").to_pylist(), table.column("score").to_pylist()
        edges = [index / 20 for index in range(21)]
        counts = {"positive": [0.0] * 20, "negative": [0.0] * 20}
        for label, score in zip(labels, scores, strict=True):
            counts["positive" if label else "negative"][min(int(score * 20), 19)] += 1
        shown.append(Histogram("Scores of held-out texts", "score", edges, counts))
    return shown


def _listed(*groups: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for group in groups for reason, count in group.items())


STAGE = Stage(
    name="quality",
    version=1,
    description="A fastText classifier of text quality, trained from labelled texts.",
    config=QualityConfig,
    inputs={
        "documents": Input(
            ("clean.documents",), "Cleaned documents, for label sources of that kind.", True
        )
    },
    outputs={
        "model": Output("model.bin in fastText's own format, model.json beside it."),
        "heldout": Output("Scored texts that did not train it.", HELD_OUT, unique_ids=True),
        "rejected": Output("Labelled rows that could not be read.", REJECTED),
    },
    run=run,
    panels=panels,
    externals=externals,
    libraries=("fasttext-community", "numpy", "xxhash"),
)
