"""What the report says of an experiment: the funnel with the worth of each removal, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.engine.store.artifact import Artifact
from tasks.findings import worth_table
from tasks.findings.record import Finding
from tasks.findings.worth_flow import worth_flow
from tasks.panels.numbers import number
from tasks.panels.panels import Panel, Table
from tasks.report.funnel import Step

# Stages that an experiment sets for itself: how long it trains, and what is measured.
_ITS_OWN = {"pretrain", "evaluate"}


def worth_panels(
    found: Finding | None, artifacts: Mapping[str, Artifact], steps: Sequence[Step]
) -> list[Panel]:
    """The documents of the page on their way, with what the experiment says of each removal.

    What was found of other settings says nothing of these stages: then the page says which differ.

    Args:
        artifacts: by stage name.
        steps: of their funnel.
    """
    if found is None:
        return []
    base = found.result.variants[0]
    told = [
        [
            f"{found.result.name}, on {found.recipe}: {number(base.documents)} documents and "
            f"{number(base.tokens)} tokens of training text"
        ]
    ]
    on_the_way = {step.stage for step in steps} | (found.base.keys() - _ITS_OWN)
    differing = [
        name
        for name, artifact in artifacts.items()
        if name in on_the_way and found.base.get(name) != artifact.manifest.config
    ]
    if differing:
        told.append(
            [
                f"Not shown, since {', '.join(differing)} had other settings then; "
                "`ingot experiment` measures again"
            ]
        )
        return [Table("Experiment", ["experiment"], told)]
    trained = _trained_on(artifacts)
    if trained is not None and trained != base.documents:
        told.append([f"Measured before the corpus changed: {number(trained)} documents by now"])
    flow = worth_flow(found.result, found.removals, steps)
    return [Table("Experiment", ["experiment"], told), flow, *worth_table.panels(found.result)]


def _trained_on(artifacts: Mapping[str, Artifact]) -> int | None:
    """Documents that the page's model trains on."""
    packed = artifacts.get("pack")
    found: int | None = packed.facts["splits"]["train"]["documents"] if packed else None
    return found
