"""The papers of a recipe: written to the home, held against the last, found out when they no longer
fit what they are about."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.engine.errors import IngotError
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.forget.certificate import marks
from tasks.forget.texts import in_force
from tasks.panels.markdown import inline, markdown
from tasks.panels.panels import Table
from tasks.papers.cards import data_card_of, model_card_of
from tasks.papers.fields import TO_BE_SAID, Field, filled_share, tally, with_answers
from tasks.papers.known import read
from tasks.papers.sbom import bill_of_materials
from tasks.papers.training_content import fields
from tasks.registry import STAGES
from tasks.report.samples import SampleLimits

FOLDER = "papers"
SUMMARY, SUMMARY_JSON = "training-content.md", "training-content.json"
_DATA_CARD, _MODEL_CARD, _SBOM, _MADE_OF = (
    "data-card.md",
    "model-card.md",
    "sbom.cdx.json",
    "made-of.json",
)
_SAMPLES = SampleLimits(3, 600)


class NoPapersError(IngotError):
    """A recipe has nothing built that papers could be about."""


@dataclass(frozen=True)
class Papers:
    """What was written.

    Attributes:
        place: folder in the home.
        texts: by file name.
        fields: of the summary of training content.
        changes: lines of a diff of the summary, the last against this; empty for the first, or
            for none.
        is_first: there were none before.
    """

    place: str
    texts: Mapping[str, str]
    fields: Sequence[Field]
    changes: Sequence[str]
    is_first: bool


def write(
    store: Store, recipe: str, channel: str, answers: Mapping[str, str], where: str
) -> Papers:
    """Make the papers of what a channel of a recipe means, and keep them in the home.

    Args:
        answers: what a person says, by field; what they said last time stays said.
        where: the file it is from, for messages.

    Raises:
        NoPapersError: nothing is built.
        PapersAnswersError: an answer is to no field.
    """
    artifacts = in_force(store, recipe, channel)
    if not artifacts:
        raise NoPapersError(
            f"recipe {recipe!r} has nothing built as {channel!r}; `ingot run --recipe {recipe}` "
            "builds it"
        )
    known = read(artifacts)
    place = f"{FOLDER}/{recipe}/{channel}"
    kept = store.read_json(f"{place}/{_MADE_OF}") or {}
    said = {**kept.get("answers", {}), **answers}
    filled = with_answers(fields(known), said, where or f"{place}/{_MADE_OF}")
    texts = {
        SUMMARY: _summary(recipe, filled),
        SUMMARY_JSON: json.dumps(_record(recipe, filled), indent=1, ensure_ascii=False) + "\n",
        _DATA_CARD: data_card_of(recipe, known, _SAMPLES),
        _SBOM: json.dumps(bill_of_materials(recipe, artifacts), indent=1) + "\n",
    }
    card = model_card_of(known, SUMMARY)
    if card is not None:
        texts[_MODEL_CARD] = card
    before = _text(store, f"{place}/{SUMMARY}")
    changes = list(
        difflib.unified_diff(
            (before or texts[SUMMARY]).splitlines(), texts[SUMMARY].splitlines(),
            "before", "now", lineterm="", n=0,
        )
    )  # fmt: skip
    made_of = {"made_of": _made_of(artifacts), "answers": said}
    texts[_MADE_OF] = json.dumps(made_of, indent=1, ensure_ascii=False) + "\n"
    for name, text in texts.items():
        store.replace(f"{place}/{name}", text.encode())
    return Papers(place, texts, filled, changes, before is None)


def _made_of(artifacts: Mapping[str, Artifact]) -> dict[str, dict[str, Any]]:
    """What makes papers fit: all outputs, and what was forgotten of them. The report is made of
    times too, and is no subject of theirs."""
    return {
        stage: {
            "outputs": {name: one.data_id for name, one in artifact.manifest.outputs.items()},
            "forgotten": marks(artifact),
        }
        for stage, artifact in artifacts.items()
        if stage != "report"
    }


def outdated(store: Store) -> dict[str, list[str]]:
    """Papers in the home that no longer fit, by folder, with the stages that are other ones."""
    found = {}
    for recipe, channel in _all(store):
        place = f"{FOLDER}/{recipe}/{channel}"
        then = (store.read_json(f"{place}/{_MADE_OF}") or {}).get("made_of", {})
        now = _made_of(in_force(store, recipe, channel))
        other = [name for name in STAGES if then.get(name) != now.get(name)]
        if other:
            found[place] = other
    return found


def _all(store: Store) -> Iterator[tuple[str, str]]:
    for recipe in store.names(FOLDER):
        for channel in store.names(f"{FOLDER}/{recipe}"):
            yield recipe, channel


def again(store: Store, recipe: str) -> Papers | None:
    """The papers of a recipe once more, where it has some; `None` where it has none, or where they
    still fit."""
    place = f"{FOLDER}/{recipe}/{channels.LATEST}"
    if place not in outdated(store):
        return None
    return write(store, recipe, channels.LATEST, {}, "")


def _text(store: Store, path: str) -> str | None:
    return store.read(path).decode() if store.exists(path) else None


def _record(recipe: str, filled: Sequence[Field]) -> dict[str, Any]:
    return {
        "recipe": recipe,
        "filled_of_derivable": round(filled_share(filled), 4),
        "counts": tally(filled),
        "fields": [
            {
                "key": field.key,
                "section": field.section,
                "label": field.label,
                "value": field.value,
                "who": field.who,
                "derivable": field.derivable,
                "evidence": [vars(one) for one in field.evidence],
            }
            for field in filled
        ],
    }


def _summary(recipe: str, filled: Sequence[Field]) -> str:
    parts = [f"# Summary of training content: {inline(recipe)}"]
    section = ""
    for field in filled:
        if field.section != section:
            section = field.section
            parts.append(f"## {section}")
        parts += [f"**{inline(field.label)}** (`{field.key}`)", _value(field)]
        if field.evidence and field.value is not None and field.who != "given":
            parts.append(f"From {', '.join(f'`{one}`' for one in field.evidence)}.")
    return "\n\n".join(parts) + "\n"


def _value(field: Field) -> str:
    if field.value is None:
        return TO_BE_SAID[field.who]
    if isinstance(field.value, str):
        return inline(field.value)
    columns = list(field.value[0])
    rows = [[row[name] for name in columns] for row in field.value]
    # The heading of the field stands above it already.
    return markdown(Table(field.label, columns, rows)).partition("\n\n")[2]
