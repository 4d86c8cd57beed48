"""What `quality` is told: the labelled texts, and how classifiers are trained on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pydantic import Field, model_validator

from llm.corpus.annotate.attributes import QUALITY
from tasks.engine.config import StageConfig, added
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Snapshot, snapshot_files
from tasks.stages.quality_labels import LabelSource


class QualityConfig(StageConfig):
    """Settings of the classifiers. A source names the one it trains, `quality` if nothing else."""

    positives: list[LabelSource] = Field(
        [],
        description="Texts that should score high; for the classifier quality, such as the model "
        "should read more of.",
    )
    negatives: list[LabelSource] = Field(
        [],
        description="Texts that should score low; for quality, ordinary or bad ones.",
    )
    validation_fraction: float = Field(
        0.1, description="Share of the texts used for validation instead of training.", gt=0, lt=1
    )
    min_examples: int = Field(
        20, description="Fewest distinct texts a class must have to train on.", ge=1
    )
    dim: int = Field(16, description="Length of word vectors.", ge=1, le=1000)
    learning_rate: float = Field(
        0.5, description="Learning rate at the start; falls to 0.", gt=0, le=10
    )
    epochs: int = Field(
        0,
        description="Passes over the texts; 0 = by their number: as many as make 10,000 updates, "
        "one a text, and at least 5.",
        ge=0,
        le=10_000,
    )
    word_ngrams: int = Field(2, description="Longest word n-gram.", ge=1, le=5)
    min_count: int = Field(1, description="Rarer words are ignored.", ge=1, le=2**31 - 1)
    bucket: int = Field(
        0,
        description="Hash buckets of the n-grams, 4 * dim bytes each; 0 = by the texts: the power "
        "of two from an eighth of their words on, at least 8,192 and at most 2,097,152.",
        ge=0,
        le=10_000_000,
    )
    heuristics: bool = added(
        False,
        "Whether what annotate counts in a text joins the score: length, lines, repetition. For "
        "labels that tell good texts from bad ones; where they tell subjects apart, length would.",
    )
    seed: int = Field(
        1,
        description="Random seed of samples, order, validation share and vectors.",
        ge=0,
        le=2**31 - 1,
    )

    @model_validator(mode="after")
    def _unique_names(self) -> QualityConfig:
        names = [source.name for source in (*self.positives, *self.negatives)]
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        if repeated:
            raise ValueError(f"two label sources are called {', '.join(repeated)}; rename one")
        return self

    @property
    def classifiers(self) -> list[str]:
        """Names of those it trains, sorted; see `score_column` for their columns."""
        return sorted({source.classifier for source in (*self.positives, *self.negatives)})


def externals(config: QualityConfig) -> Mapping[str, Snapshot]:
    """The label files of both classes under the names `positives` and `negatives`.

    Raises:
        ExternalInputError: a class of a classifier has no source, a source of files no path, or
            a path no file.
    """
    found = {}
    classes = {"positives": config.positives, "negatives": config.negatives}
    for name, sources in classes.items():
        for classifier in config.classifiers or [QUALITY]:
            if classifier not in {source.classifier for source in sources}:
                raise ExternalInputError(
                    f"quality.{name}: none for the classifier {classifier!r}; it needs at least "
                    f"one source of {name}, or remove the stage from the recipe"
                )
        parts: list[Snapshot] = []
        for index, source in enumerate(sources):
            if source.kind == "documents":
                continue
            field = f"quality.{name}[{index}].paths"
            if not source.paths:
                raise ExternalInputError(f"{field}: empty; name files or use kind: documents")
            parts.append(snapshot_files(source.paths, field, prefix=f"{source.name}/"))
        if parts:
            found[name] = Snapshot.joined(parts)
    return found
