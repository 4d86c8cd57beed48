"""Where the labelled texts of `quality` come from: one source, declared and read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from llm.corpus.annotate.attributes import ATTRIBUTES, QUALITY, score_column
from llm.corpus.quality.label_sources import Condition, offer_documents, offer_file
from llm.corpus.quality.labels import Sampler
from tasks.engine.config import Part, execution
from tasks.engine.errors import MissingInputError
from tasks.engine.store.artifact import Inputs


class LabelSource(Part):
    """Where labelled texts of one class come from."""

    name: str = Field(
        description="Name of the source in counts and in the validation table.",
        pattern=r"^[A-Za-z0-9_.-]+$",
    )
    classifier: str = Field(
        QUALITY,
        description="The classifier it trains; its scores are the column <classifier>_score of "
        "annotate. One needs positives and negatives.",
        pattern=r"^[a-z][a-z0-9_]*$",
        max_length=40,
    )
    kind: Literal["documents", "files"] = Field(
        "documents", description="The cleaned documents of this recipe, or files of yours."
    )
    paths: list[str] = execution(
        [],
        "Files or globs for kind files: .parquet, .jsonl, .csv, .tsv, .txt (one text "
        "per line); all but the first also .gz, .zst.",
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

    @field_validator("classifier")
    @classmethod
    def _has_a_column(cls, name: str) -> str:
        if name != QUALITY and score_column(name) in ATTRIBUTES.names:
            raise ValueError(f"{score_column(name)} is another column of annotate; rename it")
        return name

    @model_validator(mode="after")
    def _fits(self) -> LabelSource:
        if self.kind == "files" and (self.url_pattern or self.opening):
            raise ValueError(f"{self.name}: url_pattern and opening apply to kind documents only")
        if self.kind == "documents" and self.paths:
            raise ValueError(f"{self.name}: paths apply to kind files only")
        if self.max_chars and self.max_chars < self.min_chars:
            raise ValueError(f"{self.name}: max_chars is smaller than min_chars")
        return self


def collect_labels(
    source: LabelSource, seed: int, inputs: Inputs, group: str, whole: bool
) -> tuple[Sampler, list[tuple[str, str, str]]]:
    """One source read to its end: the sampler that holds its texts, and its unusable rows.

    Args:
        group: the external input its files come in, `positives` or `negatives`.
        whole: whether texts are kept as they were, too.

    Raises:
        MissingInputError: it is of kind documents, and the recipe has none.
    """
    condition = Condition(
        source.text_field,
        source.where_field,
        source.where_value,
        source.url_pattern,
        source.opening,
    )
    sampler = Sampler(source.name, source.min_chars, source.max_chars, source.max_rows, seed, whole)
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
