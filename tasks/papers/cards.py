"""The cards of data and model with the fields that the Hugging Face hub reads at their head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm.corpus.source.licences import spdx
from tasks.engine.store.artifact import Artifact
from tasks.forget.certificate import marks
from tasks.forget.holders import CERTIFICATES
from tasks.papers.known import Known
from tasks.report.data_card import data_card
from tasks.report.samples import SampleLimits

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
_LARGEST = "n>1B"
_LANGUAGES = 20
_MODEL, _CARD = "model", "README.md"


def data_card_of(recipe: str, known: Known, limits: SampleLimits) -> str:
    """The data card, its head in the hub's words."""
    size = next((name for most, name in _SIZES if known.documents < most), _LARGEST)
    head = {
        "pretty_name": f"Data of {recipe}",
        **_languages(known),
        "license": _one_licence(known),
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "source_datasets": ["original"],
        "tags": ["ingot"],
    }
    return f"{_front(head)}\n\n{data_card(f'Data of {recipe}', known.artifacts, limits)}"


def model_card_of(known: Known, summary: str) -> str | None:
    """The card of the exported model with what is known of its data since; `None` without one.

    Args:
        summary: name of the file with the summary of training content.
    """
    artifact = known.artifacts.get("export")
    if artifact is None:
        return None
    data = artifact.data(_MODEL)
    card = next((part for part in data.parts if part.path == _CARD), None)
    if card is None:
        return None
    head, body = _parted(data.path(card).read_text(encoding="utf-8"))
    head |= {**_languages(known), **_base(known)}
    parts = [
        _front(head),
        body.strip(),
        "## Training content",
        f"Sources, licences, languages and domains, each figure with the artifact it is from: "
        f"[{summary}]({summary}).",
        "## Pages taken out since",
        forgotten(known.artifacts),
    ]
    return "\n\n".join(parts) + "\n"


def forgotten(artifacts: Mapping[str, Artifact]) -> str:
    """Which models of the recipe learned from pages that were taken out after they were trained."""
    found = [(name, names) for name, one in artifacts.items() if (names := marks(one))]
    with_models = [
        (name, names) for name, names in found if _MODEL in artifacts[name].manifest.outputs
    ]
    if not with_models:
        return "None: no page that it learned from was taken out of its data."
    lines = [
        f"- {name} learned from pages of {', '.join(f'{CERTIFICATES}/{each}' for each in names)}"
        for name, names in with_models
    ]
    return "\n".join(["It still holds pages that were taken out of its data:", "", *lines])


def _languages(known: Known) -> dict[str, Sequence[str]]:
    named = [name for name in known.languages if name != "unknown"]
    return {"language": named[:_LANGUAGES]} if named else {}


def _one_licence(known: Known) -> str:
    """The hub takes one identifier; of several "other"."""
    named = list(known.licences)
    if len(named) != 1:
        return "other" if named else "unknown"
    return (spdx(named[0]) or "other").lower()


def _base(known: Known) -> dict[str, str]:
    """The model of others it began with."""
    for artifact in known.artifacts.values():
        start = str(artifact.facts.get("start_from") or "")
        if start:
            return {"base_model": start.partition("@")[0]}
    return {}


def _front(head: Mapping[str, Any]) -> str:
    import yaml

    return f"---\n{yaml.safe_dump(dict(head), sort_keys=False, allow_unicode=True)}---"


def _parted(card: str) -> tuple[dict[str, Any], str]:
    """Head and body of a card."""
    import yaml

    _, head, body = card.split("---\n", 2)
    return dict(yaml.safe_load(head) or {}), body
