"""Section 3 of the summary of training content: what was done with the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.papers.fields import Field, asked, derived
from tasks.papers.known import Known

_RIGHTS = "3.1 Respect of reservations of rights from text and data mining"
_ILLEGAL = "3.2 Removal of illegal content"
_FURTHER = "3.3 Other information"


def fields(known: Known) -> list[Field]:
    """The fields of the section, in order."""
    removed = {name: artifact.manifest.totals.removed for name, artifact in known.artifacts.items()}
    opted_out = removed.get("source", {}).get("opted_out", 0)
    asks = known.config("filter").get("respect", [])
    refused = sum(
        count
        for reason, count in removed.get("filter", {}).items()
        if reason.startswith("respect_")
    )
    measures = [
        f"{opted_out:,} pages were left out because rightsholders or others asked for it by "
        "address, domain or identity (opt_outs)."
        if "opt_outs" in _externals(known, "source")
        else "No list of pages to leave out was in force.",
        f"Pages that ask so ({', '.join(asks)}: robots directives noai and noimageai, the TDM "
        f"Reservation Protocol, in markup and HTTP headers) were left out: {refused:,}."
        if asks
        else "Directives of pages (noai, noimageai, TDM Reservation Protocol) were recorded and "
        "not acted on (filter.respect).",
    ]
    if known.config("fetch").get("http"):
        measures.append("robots.txt was obeyed when pages were fetched.")
    evidence = known.evidence("source.removed", "annotate.attributes", "filter.removed")
    return [
        asked("rights.code_of_practice", _RIGHTS, "Signatory of the Code of Practice"),
        derived("rights.measures", _RIGHTS, "Measures", " ".join(measures), evidence),
        asked("rights.comments", _RIGHTS, "Comments"),
        derived("illegal.measures", _ILLEGAL, "Measures", _illegal(known, removed), evidence),
        derived(
            "further.personal_data",
            _FURTHER,
            "Personal data",
            _personal(known),
            known.evidence("filter.masked"),
        ),
        derived(
            "further.duplicates",
            _FURTHER,
            "Removed before training, by stage",
            [
                {"stage": name, "reason": reason, "rows": count}
                for name, reasons in removed.items()
                for reason, count in sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
                if known.artifacts[name].manifest.totals.unit == "row"
            ]
            or "Nothing.",
            [each for name in removed for each in known.evidence(f"{name}.removed")],
        ),
        asked("further.comments", _FURTHER, "Comments"),
    ]


def _externals(known: Known, stage: str) -> Mapping[str, Any]:
    artifact = known.artifacts.get(stage)
    return artifact.manifest.externals if artifact is not None else {}


def _illegal(known: Known, removed: Mapping[str, Mapping[str, int]]) -> str:
    lists = [
        name
        for name in ("blocked_domains", "blocked_words")
        if name in _externals(known, "annotate")
    ]
    by_list = sum(
        count
        for reason, count in removed.get("filter", {}).items()
        if reason.rpartition("/")[2].startswith("url_blocked")
    )
    if not lists:
        return "No list of domains or words was in force (annotate.blocked_domains, blocked_words)."
    return f"Lists in force: {', '.join(lists)}. Documents left out by them: {by_list:,}."


def _personal(known: Known) -> str:
    kinds = known.config("filter").get("mask", [])
    if not kinds:
        return "Counted, not masked (filter.mask)."
    facts = known.artifacts["filter"].facts
    places = ", ".join(f"{kind} {facts.get(f'masked.{kind}', 0):,}" for kind in kinds)
    return f"Placeholders stand in its place: {places}."
