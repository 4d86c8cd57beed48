"""What `quality` shows of its classifiers: metrics, a warning, scores, where texts came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm.corpus.annotate.attributes import QUALITY
from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Histogram, Panel, Table

THRESHOLD = 0.5
# Validation scores whose middle 90 % lie closer together say little more than their order.
MIN_SPREAD = 0.2


def fact_name(classifier: str, name: str) -> str:
    """The name of a fact: as it is for `quality`, which most recipes have alone."""
    return name if classifier == QUALITY else f"{classifier}.{name}"


def panels(artifact: Artifact) -> list[Panel]:
    """Validation metrics, where the texts came from, and the scores of either class."""
    facts = artifact.facts
    sources = [
        [
            s["name"],
            s["classifier"],
            s["class"],
            s["rows"],
            s["used"],
            _format_counts(s["removed"], s["rejected"]),
        ]
        for s in facts.get("sources", [])
    ]
    table = artifact.data("validation").table(["classifier", "label", "score"])
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    shown: list[Panel] = []
    for name in facts.get("classifiers", []):
        scored = [(label, score) for classifier, label, score in rows if classifier == name]
        shown += _classifier_panels(name, facts, scored)
    columns = ["source", "classifier", "class", "rows", "used", "left out"]
    return [*shown, Table("Labelled texts", columns, sources)]


def _classifier_panels(
    classifier: str, facts: Mapping[str, Any], scored: Sequence[tuple[int, float]]
) -> list[Panel]:
    """What is known about one classifier."""
    title = classifier.replace("_", " ").capitalize()
    figures = ("precision", "recall", "f1", "auc", "length_auc", "positives", "negatives")
    training = ("score_spread", "epochs", "bucket", "model_bytes")
    lines = [[name, facts.get(fact_name(classifier, name))] for name in (*figures, *training)]
    note = f"Precision, recall and F1 at a score of {THRESHOLD}. length_auc: of length alone."
    shown: list[Panel] = [
        Table(f"{title} classifier on validation texts", ["metric", "value"], lines, note)
    ]
    if not scored:
        return shown
    scores = sorted(score for _, score in scored)
    if facts.get(fact_name(classifier, "hardly_spread")):
        trained_on = facts[fact_name(classifier, "trained_on")]
        cells = [[name, count] for name, count in trained_on.items()]
        note = f"Warning: nine in ten scores differ by less than {MIN_SPREAD:g}. "
        note += "Raise epochs or learning_rate, or name more labels."
        lines = [*cells, ["lowest score", scores[0]], ["highest score", scores[-1]]]
        shown.append(Table(f"{title}: validation scores hardly spread", ["", "value"], lines, note))
    edges = [index / 20 for index in range(21)]
    counts = {"positive": [0.0] * 20, "negative": [0.0] * 20}
    for label, score in scored:
        counts["positive" if label else "negative"][min(int(score * 20), 19)] += 1
    where = "validation texts" if classifier == QUALITY else f"validation texts, {classifier}"
    return [*shown, Histogram(f"Scores of {where}", "score", edges, counts)]


def _format_counts(*groups: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for group in groups for reason, count in group.items())
