"""An artifact of `index`, opened to ask where a text stands."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from llm.corpus.attribution.sources import Rule, Sources
from llm.corpus.attribution.tables import LEFT_OUT, TRAINING_SETS
from llm.tokens.token_bounds import token_bounds
from tasks.engine.errors import MissingInputError
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import published

# Eight tokens are some five words; what stands at a thousand places is boilerplate.
RULE = Rule(min_tokens=8, most_places=1_000, documents=5, around=160)


def open_sources(index: Artifact) -> Sources:
    """The texts an artifact of `index` holds.

    Files are looked at by their size alone: to hash an index takes longer than to ask it.

    Raises:
        MissingInputError: the tokenizer it was made with is gone.
        DamagedArtifactError: a file is missing.
    """
    tables = {
        kind: index.data(kind).unchecked_folder()
        for kind in (*TRAINING_SETS, LEFT_OUT)
        if index.data(kind).rows
    }
    bounds = partial(token_bounds, folder=_tokenizer(index))
    return Sources(index.data("index").unchecked_folder(), tables, bounds)


def _tokenizer(index: Artifact) -> Path:
    record = index.manifest.inputs["tokenizer"]
    found = published(index.store, record.stage, record.build_id, record.attempt)
    if found is None:
        raise MissingInputError(
            f"the tokenizer that {index.folder} was made with is gone; run `ingot run` to build it"
        )
    return found.data(record.output).folder()
