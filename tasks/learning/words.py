"""What there is to learn from, as panels for whoever shows them."""

from __future__ import annotations

from tasks.engine.store.artifact import Artifact
from tasks.learning.challenge import PRETRAIN, PROD, Challenge
from tasks.panels.panels import Cell, Panel, Table


def panels(challenge: Challenge) -> list[Panel]:
    """The model in use, what it has learned from, and the corpus as it is now."""
    model = challenge.champion[PRETRAIN]
    rows: list[list[Cell]] = [
        [f"model in use ({PROD})", _name(model), None, None, None],
        ["it has learned from", _name(challenge.learned), *_train(challenge.learned)],
        ["the corpus now", _name(challenge.corpus), *_train(challenge.corpus)],
    ]
    columns = ["", "artifact", "documents", "rows", "tokens"]
    return [Table("What there is to learn from", columns, rows, "Of the train split.")]


def in_words(challenge: Challenge) -> str:
    """One line."""
    if challenge.is_grown:
        return "the corpus is another than the one that the model in use has learned from"
    return (
        "the corpus is the one that the model in use has learned from; a refresh brings in what "
        "is new"
    )


def _name(artifact: Artifact) -> str:
    return artifact.folder.removeprefix("artifacts/")


def _train(pack: Artifact) -> list[Cell]:
    """Documents, rows and tokens of the train split."""
    train = pack.facts["splits"]["train"]
    return [train["documents"], train["rows"], train["tokens"]]
