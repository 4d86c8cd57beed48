"""The public summary of the content a model was trained on, in the sections of the European
Commission's template (Regulation (EU) 2024/1689, article 53(1)(d); C(2025) 8311): section 1, and
the whole.

What provenance can say is filled in; what only the provider knows is left to a person.
"""

from __future__ import annotations

from tasks.papers import data_processing, data_sources
from tasks.papers.fields import Field, asked, derived, share
from tasks.papers.known import Known

_PROVIDER = "1.1 Provider"
_MODEL = "1.2 Model"
_DATA = "1.3 Modalities, size and other characteristics of the training data"
_BILLION, _TRILLION = 10**9, 10**12
_LANGUAGES, _LICENCES = 30, 50


def fields(known: Known) -> list[Field]:
    """All fields of the summary, in order."""
    return [*_general(known), *data_sources.fields(known), *data_processing.fields(known)]


def _general(known: Known) -> list[Field]:
    started = [
        artifact.facts["start_from"]
        for artifact in known.artifacts.values()
        if artifact.facts.get("start_from")
    ]
    models = [
        (name, one) for name, one in known.artifacts.items() if "model" in one.manifest.outputs
    ]
    last = next((pair for pair in reversed(models) if pair[0] not in ("quality", "reward")), None)
    named = known.config("export").get("name")
    identity = None
    if last is not None:
        identity = f"{named or last[0]}, {last[1].manifest.outputs['model'].data_id[:16]}"
    texts = known.evidence(known.trained)
    packed = known.evidence("pack.sequences")
    languages = [
        {
            "language": name,
            "documents": count,
            "share": share(count, sum(known.languages.values())),
        }
        for name, count in list(known.languages.items())[:_LANGUAGES]
    ]
    acquired = f"{known.last:%m/%Y}" if known.last is not None else None
    latest = acquired or _built(known)
    return [
        asked("provider.name", _PROVIDER, "Name and contact details of the provider"),
        asked("provider.representative", _PROVIDER, "Authorised representative in the Union"),
        derived(
            "model.versions",
            _MODEL,
            "Versioned name of the model",
            identity,
            known.evidence(f"{last[0]}.model") if last is not None else [],
        ),
        derived(
            "model.dependencies",
            _MODEL,
            "Models it was made from",
            ", ".join(sorted(set(started))) or "None: its weights began at random.",
            known.evidence("pretrain.model"),
        ),
        asked("model.placed_on_market", _MODEL, "Date of placement on the Union market"),
        derived("data.modalities", _DATA, "Modalities", "Text.", texts),
        derived(
            "data.size_range", _DATA, "Size of the text, as a range", _range(known.tokens), packed
        ),
        derived("data.tokens", _DATA, "Size of the text, in tokens", _tokens(known.tokens), packed),
        derived(
            "data.documents",
            _DATA,
            "Documents and bytes of text",
            f"{known.documents:,} documents, {known.text_bytes:,} bytes"
            if known.documents
            else None,
            texts,
        ),
        derived(
            "data.content_types",
            _DATA,
            "Types of content",
            "; ".join(
                f"{name} ({share(size, known.text_bytes)})"
                for name, (_, size) in known.sources.items()
            )
            or None,
            texts,
        ),
        derived(
            "data.latest_acquisition",
            _DATA,
            "Latest date of acquisition",
            latest,
            known.evidence("source.pages"),
        ),
        asked(
            "data.trained_on_further", _DATA, "Whether it is trained on new data after that date"
        ),
        derived(
            "data.languages",
            _DATA,
            "Languages",
            languages or None,
            known.evidence("annotate.attributes"),
        ),
        derived(
            "data.licences",
            _DATA,
            "Licences, as sources state them (SPDX where it has a name)",
            [
                {
                    "licence": name,
                    "pages": count,
                    "share": share(count, sum(known.licences.values())),
                }
                for name, count in list(known.licences.items())[:_LICENCES]
            ]
            or None,
            known.evidence("source.pages"),
        ),
        asked("data.comments", _DATA, "Other characteristics, such as regional ones"),
    ]


def _built(known: Known) -> str | None:
    """The month in which the pages were read, where no record has a date."""
    artifact = known.artifacts.get("source")
    if artifact is None:
        return None
    year, month = artifact.manifest.timings.started.split("-")[:2]
    return f"{month}/{year}, when the files were read; the records have no date"


def _range(tokens: int | None) -> str | None:
    if tokens is None:
        return None
    if tokens < _BILLION:
        return "Less than 1 billion tokens"
    return (
        "More than 10 trillion tokens"
        if tokens > 10 * _TRILLION
        else "1 billion to 10 trillion tokens"
    )


def _tokens(tokens: int | None) -> str | None:
    return None if tokens is None else f"{tokens:,} tokens in the rows of the train split"
