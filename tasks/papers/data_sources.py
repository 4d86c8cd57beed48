"""Section 2 of the summary of training content: where the data are from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.papers.fields import Field, asked, derived, share, yes
from tasks.papers.known import Known
from tasks.registry import MODEL_STAGES

_PUBLIC = "2.1 Publicly available datasets"
_PRIVATE = "2.2 Private, not publicly available datasets from third parties"
_CRAWLED = "2.3 Data crawled and scraped from online sources"
_USERS = "2.4 User data"
_SYNTHETIC = "2.5 Synthetic data"
_OTHER = "2.6 Other sources of data"
_TOP_SHARE, _FEWEST = 0.10, 1_000
_PURPOSE = "To collect text for training."
_BEHAVIOUR = (
    "One request to a host at a time, with the delay robots.txt asks for. robots.txt (RFC 9309), "
    "rel=nofollow and robots directives of pages are obeyed; where a host's robots.txt cannot be "
    "read, nothing is fetched. No login, captcha or paywall is passed."
)


@dataclass(frozen=True)
class _Origin:
    """Where a source is from: kind is "public", "crawled" or "other"."""

    kind: str
    what: str
    link: str


def fields(known: Known) -> list[Field]:
    """The fields of the section, in order."""
    origins = _origins(known)
    return [
        *_datasets(known, origins),
        *_crawl(known, origins),
        *_people(known),
        *_other(known, origins),
    ]


def _rows(known: Known, origins: Mapping[str, _Origin], kind: str) -> list[dict[str, Any]]:
    """A row a source of that kind: its share of what is trained on."""
    return [
        {
            "source": name,
            "what": origins[name].what,
            "link": origins[name].link,
            "documents": count,
            "bytes of text": size,
            "share": share(size, known.text_bytes),
        }
        for name, (count, size) in known.sources.items()
        if name in origins and origins[name].kind == kind
    ]


def _origins(known: Known) -> dict[str, _Origin]:
    """By source, as `source` and `fetch` were told."""
    places = _places(known)
    found = {}
    for spec in known.config("source").get("sources", []):
        name = spec["name"]
        if spec.get("fetched") in places:
            found[name] = places[spec["fetched"]]
        elif spec.get("kind") == "pydocs":
            what = "documentation of published Python packages, read where they are installed"
            found[name] = _Origin("public", what, "https://pypi.org")
        else:
            found[name] = _Origin("other", f"files of the provider, kind {spec.get('kind')}", "")
    return found


def _places(known: Known) -> dict[str, _Origin]:
    config = known.config("fetch")
    facts = known.artifacts["fetch"].facts if "fetch" in known.artifacts else {}
    found = {
        place["name"]: _Origin("other", "a folder of the provider", "")
        for place in config.get("places", [])
    }
    for place in config.get("files", []):
        hosts = ", ".join(place["urls"][:3])
        found[place["name"]] = _Origin("public", "files by URL", hosts)
    for place in config.get("commoncrawl", []):
        what = f"Common Crawl, {place['snapshot']}"
        found[place["name"]] = _Origin("public", what, "https://commoncrawl.org")
    for place in config.get("hub", []):
        revision = facts.get(f"revision:{place['name']}", place.get("revision", ""))
        what = f"data set {place['dataset']}, revision {revision}"
        link = f"https://huggingface.co/datasets/{place['dataset']}"
        found[place["name"]] = _Origin("public", what, link)
    for place in config.get("http", []):
        found[place["name"]] = _Origin("crawled", "a site, crawled", ", ".join(place["seeds"][:3]))
    return found


def _datasets(known: Known, origins: Mapping[str, _Origin]) -> list[Field]:
    public = _rows(known, origins, "public")
    evidence = known.evidence("source.pages", known.trained)
    return [
        derived("public.used", _PUBLIC, "Used", yes(bool(public)), evidence),
        derived(
            "public.modalities", _PUBLIC, "Modalities", "Text." if public else "None.", evidence
        ),
        derived("public.datasets", _PUBLIC, "Datasets", public or "None.", evidence),
        asked("public.comments", _PUBLIC, "Comments"),
        asked("private.licensed", _PRIVATE, "Datasets licensed by rightsholders"),
        asked("private.third_parties", _PRIVATE, "Datasets from other third parties"),
    ]


def _crawl(known: Known, origins: Mapping[str, _Origin]) -> list[Field]:
    crawled = _rows(known, origins, "crawled")
    evidence = known.evidence("fetch.files", "source.pages")
    agent = known.artifacts["fetch"].manifest.execution.get("user_agent") if crawled else None
    period = None if crawled else "No crawler was used, and no record says when it was fetched."
    if known.first is not None and known.last is not None:
        period = f"{known.first:%m/%Y} to {known.last:%m/%Y}"
    return [
        derived("crawled.used", _CRAWLED, "Crawlers were used", yes(bool(crawled)), evidence),
        derived("crawled.crawlers", _CRAWLED, "Names of the crawlers", agent or "None.", evidence),
        derived("crawled.purpose", _CRAWLED, "Purpose", _when(crawled, _PURPOSE), evidence),
        derived("crawled.behaviour", _CRAWLED, "Behaviour", _when(crawled, _BEHAVIOUR), evidence),
        derived(
            "crawled.period",
            _CRAWLED,
            "Period of collection",
            period,
            evidence,
        ),
        derived(
            "crawled.sources", _CRAWLED, "Content and online sources", crawled or "None.", evidence
        ),
        derived(
            "crawled.domains",
            _CRAWLED,
            f"Domains of all web pages, the top {_TOP_SHARE:.0%} by bytes of text",
            _domains(known) or "No document has an address on the web.",
            known.evidence(known.trained),
        ),
        asked("crawled.comments", _CRAWLED, "Comments"),
    ]


def _when(rows: Sequence[object], text: str) -> str:
    return text if rows else "No crawler was used."


def _domains(known: Known) -> list[dict[str, Any]]:
    """The largest tenth, or all where they are few."""
    web = sum(known.domains.values())
    count = max(math.ceil(len(known.domains) * _TOP_SHARE), min(_FEWEST, len(known.domains)))
    return [
        {"domain": name, "bytes of text": size, "share": share(size, web)}
        for name, size in list(known.domains.items())[:count]
    ]


def _people(known: Known) -> list[Field]:
    sampled = [name for name in ("pairs", "rlhf") if name in known.artifacts]
    told = (
        f"Yes: answers of the model itself, drawn and graded by the stage {', '.join(sampled)}."
        if sampled
        else "No: no stage drew answers from a model."
    )
    evidence = known.evidence("pairs.preferences", "rlhf.model", "examples.instructions")
    return [
        asked("users.of_the_model", _USERS, "Data from users of the model"),
        asked(
            "users.of_other_services", _USERS, "Data from users of the provider's other services"
        ),
        derived(
            "synthetic.used", _SYNTHETIC, "Made by or for the provider to train it", told, evidence
        ),
        derived(
            "synthetic.modalities",
            _SYNTHETIC,
            "Modalities",
            "Text." if sampled else "None.",
            evidence,
        ),
        derived(
            "synthetic.models",
            _SYNTHETIC,
            "Models that made it",
            "The model itself, as it was before that stage." if sampled else "None.",
            evidence,
        ),
        asked("synthetic.comments", _SYNTHETIC, "Synthetic text within the datasets used"),
    ]


def _other(known: Known, origins: Mapping[str, _Origin]) -> list[Field]:
    rows = _rows(known, origins, "other")
    tuned = [name for name in MODEL_STAGES if name in known.artifacts and name != "pretrain"]
    examples = f"Examples for {', '.join(tuned)}." if tuned else "None for tuning."
    evidence = known.evidence("source.pages", "examples.instructions", "examples.preferences")
    return [
        derived("other.used", _OTHER, "Used", yes(bool(rows)), evidence),
        derived("other.sources", _OTHER, "Sources", rows or "None.", evidence),
        derived("other.examples", _OTHER, "Examples a model was tuned on", examples, evidence),
        asked("other.comments", _OTHER, "Where files of the provider are from"),
    ]
