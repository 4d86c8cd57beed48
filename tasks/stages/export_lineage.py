"""Where an exported model comes from: the artifacts behind it, their sources, their licences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from llm.evaluation.safety.subjects import JUDGED_SAFETY
from llm.export.card import CardScore
from llm.export.run_file import About, Fact
from llm.tables import VALIDATION
from tasks.engine.store.artifact import Artifact, Data
from tasks.engine.store.published import published

_SHORT = 16


def ancestors(artifact: Artifact) -> list[Artifact]:
    """The artifact and all it was made of, each after those it reads; what `gc` removed since is
    left out, and what only that one read with it."""
    found: dict[str, Artifact] = {}

    def visit(at: Artifact) -> None:
        if at.folder in found:
            return
        for record in at.manifest.parents.values():
            parent = published(at.store, record.stage, record.build_id, record.attempt)
            if parent is not None:
                visit(parent)
        found[at.folder] = at

    visit(artifact)
    return list(found.values())


def about(name: str, license: str, model: Data, tokenizer: str) -> About:
    """What an exported file says of its model.

    Args:
        license: of the weights; empty = not stated.
        tokenizer: SHA-256 of tokenizer.json.
    """
    assert model.artifact is not None  # an input is always published
    made_of = ancestors(model.artifact)
    sources = sorted({source for artifact in made_of for source, _ in _terms(artifact)})
    facts = [
        Fact("made_by", model.artifact.stage),
        Fact("model_data_id", model.data_id),
        Fact("tokenizer_sha256", tokenizer),
        *(
            Fact(f"build_{artifact.stage}", artifact.manifest.build_id[:_SHORT])
            for artifact in made_of
        ),
    ]
    began = [_start(artifact) for artifact in made_of if artifact.facts.get("start_from")]
    facts += [Fact("started_from", start) for start in began]
    trained = f" on {', '.join(sources)}" if sources else ""
    trained += f" from {began[0]}" if began else ""
    return About(
        name,
        f"A language model made by Ingot{trained}; its last step was {model.artifact.stage}.",
        license,
        tuple(sorted({terms for artifact in made_of for _, terms in _terms(artifact)})),
        tuple(sources),
        tuple(facts),
    )


def _start(artifact: Artifact) -> str:
    """The model of others that a stage started from, and which state of it."""
    name, revision = artifact.facts["start_from"], artifact.facts.get("start_revision")
    return f"{name.partition('@')[0]}@{revision}" if revision else str(name)


def _terms(artifact: Artifact) -> Iterator[tuple[str, str]]:
    """(source, licence) of pages, as `source` counts them."""
    for name in artifact.facts if artifact.stage == "source" else ():
        if name.startswith("license:"):
            _, source, terms = name.split(":", 2)
            yield source, terms


def scores(evaluated: Data | None, model: Data) -> list[CardScore] | None:
    """What `evaluate` measured of this very model; None where it was not among those measured."""
    # A change is one from the model before, which is not there.
    found = [row for row in _own(evaluated, model) if not row["metric"].endswith("_change")]
    return [_card_score(row) for row in found] or None


def safety_grade(judged: Data | None, model: Data) -> CardScore | None:
    """The judge's mean grade of the safety of this very model's answers, where there is one."""
    found = [row for row in _own(judged, model) if row["metric"] == JUDGED_SAFETY]
    return _card_score(found[0]) if found else None


def _own(measured: Data | None, model: Data) -> list[dict[str, Any]]:
    """Rows of scores that are of this model, by whatever name it was measured under."""
    if measured is None or measured.artifact is None:
        return []
    read = measured.artifact.manifest.inputs
    name = next((name for name, record in read.items() if record.data_id == model.data_id), None)
    return [row for row in measured.table().to_pylist() if row["model"] == name]


def _card_score(row: Mapping[str, Any]) -> CardScore:
    low, high = _bound(row["low"]), _bound(row["high"])
    return CardScore(row["metric"], row["value"], low, high, row["n"])


def _bound(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def validation_rows(sequences: Data | None, tokens: int, pad: int) -> list[list[int]]:
    """Rows of the validation split, from the first on, of so many tokens in all; without padding.

    Args:
        pad: id of the token that fills rows up.
    """
    found: list[list[int]] = []
    left = tokens
    for table in sequences.tables(["split", "tokens"]) if sequences is not None else ():
        for row in table.to_pylist():
            if row["split"] == VALIDATION and left > 1:
                kept = [token for token in row["tokens"] if token != pad][:left]
                found.append(kept)
                left -= len(kept)
        if left <= 1:
            break
    return found
