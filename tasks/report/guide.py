"""The guide on a model: what came out, how it was made, and what was recorded on the way.

One document, which `page.py` shows as HTML and `pdf.py` typesets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.engine.store.artifact import Artifact
from tasks.engine.store.views import as_text, flat
from tasks.panels.numbers import duration, number, size
from tasks.panels.panels import Cell, Panel, StageView, Table
from tasks.panels.pictures import standalone
from tasks.panels.svg import Bar, stacked_bars
from tasks.report import data_card, evidence, outcome, prose, samples
from tasks.report.blocks import (
    Block,
    Bullets,
    Drawing,
    Figure,
    Folded,
    Guide,
    Heading,
    Paragraph,
    Part,
    Run,
    Text,
    Tiles,
    plain,
)
from tasks.report.funnel import Step, funnel, shares
from tasks.report.funnel_flow import funnel_flow
from tasks.report.outcome import Price
from tasks.report.samples import SampleLimits


@dataclass(frozen=True)
class Recorded:
    """A stage as it was built: what it made, and what was to be shown of that."""

    artifact: Artifact
    view: StageView


@dataclass(frozen=True)
class Extras:
    """What was measured beside the stages.

    Attributes:
        compared: the last model with the one in use.
        safety: what was measured of it, and what was not.
        worth: what an experiment found each removal to be worth.
    """

    compared: Sequence[Panel] = ()
    safety: Sequence[Panel] = ()
    worth: Sequence[Panel] = ()


NO_PRICE = Price(0.0, "")


def guide(
    title: str,
    recorded: Mapping[str, Recorded],
    steps: Sequence[Step],
    limits: SampleLimits,
    price: Price = NO_PRICE,
    extras: Extras = Extras(),
) -> Guide:
    """The whole document.

    Args:
        recorded: by stage name, in the order of the chain.
        steps: of the funnel.
    """
    artifacts = {name: each.artifact for name, each in recorded.items()}
    views = {name: each.view for name, each in recorded.items()}
    chapters = [
        prose.part_of(chapter, views)
        for chapter in prose.CHAPTERS
        if any(stage in recorded for stage in prose.stages_of(chapter))
    ]
    parts = [
        Part("outcome", "What came out", _outcome(artifacts, views, steps, price)),
        Part("how", "How it was made", [plain(_HOW)] if chapters else [], chapters),
        Part("funnel", "From pages to training data", _funnel(steps, recorded)),
        Part("worth", "What each removal is worth", _figures(extras.worth)),
        Part("samples", "Kept and removed, to read", _samples(artifacts, limits)),
        Part("data-card", "Data card", _figures(data_card.panels(artifacts))),
        Part("champion", "Champion and challenger", _figures(extras.compared)),
        Part("safety", "Safety", _figures(extras.safety)),
        Part(
            "stages",
            "Stages, in full",
            [plain(_STAGES, "note")],
            [_stage(each) for each in recorded.values()],
            on_paper=False,
        ),
        Part("lineage", "Lineage", _lineage(artifacts)),
        Part("time", "Time and size", _time(artifacts)),
        Part("versions", "Versions", _figures([evidence.versions(artifacts)]), on_paper=False),
        Part("recipe", "Recipe", _recipe(artifacts)),
    ]
    lead = f"{number(len(artifacts))} steps: {', '.join(artifacts)}. Started {_when(artifacts)}."
    return Guide(title, lead, [part for part in parts if not part.empty])


_HOW = (
    "Each chapter says what a step is, why it is done, and how; then shows the code that did it, "
    "as it stands in the project, and what it made of this run. Who has never built a model reads "
    "them in order. At first reading formulas, boxes of code and tables of figures can be passed "
    "over: the words around them say the same."
)
_STAGES = "What the chapters do not show: further figures of every stage, its config and its files."


def _when(artifacts: Mapping[str, Artifact]) -> str:
    started = sorted(artifact.manifest.timings.started for artifact in artifacts.values())
    first, last = evidence.moment(started[0]), evidence.moment(started[-1])
    return first if first == last else f"{first} to {last}"


def _figures(panels: Sequence[Panel]) -> list[Block]:
    return [Figure(panel) for panel in panels]


def _outcome(
    artifacts: Mapping[str, Artifact],
    views: Mapping[str, StageView],
    steps: Sequence[Step],
    price: Price,
) -> list[Block]:
    bars = evidence.times(artifacts)
    told = outcome.models(artifacts, views)
    models = [[Run("strong", name), Run("text", f": {step}")] for name, step in told]
    introduced: list[Block] = [
        plain(
            "A program that goes on with a text, guessing piece by piece. Each step of training "
            "left a model, and each is measured:"
        ),
        Bullets(models),
    ]
    return [
        Tiles(outcome.tiles(artifacts, steps, price)),
        *(introduced if models else []),
        *_figures(outcome.panels(artifacts, views)),
        Drawing("Where the time went", stacked_bars("Seconds by stage", ["seconds"], bars)),
        *(_next_steps() if models else []),
    ]


# What whoever has such models can do: a command, and what it does.
NEXT_STEPS = (
    ("ingot chat", "asks the last model"),
    ("ingot serve", "answers programs, and a page in the browser"),
    ('ingot attribute "TEXT"', "says in which of the pages it read that stands"),
    ("ingot what-if filter --set FIELD=VALUE", "says in seconds what a changed rule would keep"),
    ("ingot run --set STAGE.FIELD=VALUE", "makes again what the change touches, and no more"),
)


def _next_steps() -> list[Block]:
    lines = [[Run("code", command), Run("text", f": {does}")] for command, does in NEXT_STEPS]
    return [
        Heading("What to do next"),
        Bullets(lines),
        Paragraph(
            [
                Run("text", "All of them take "),
                Run("code", "--recipe NAME"),
                Run("text", " where the recipe is not the quickstart."),
            ],
            "note",
        ),
    ]


def _funnel(steps: Sequence[Step], recorded: Mapping[str, Recorded]) -> list[Block]:
    blocks: list[Block] = []
    if steps:
        blocks.append(Drawing("Documents by stage", _bars(steps)))
        flow = funnel_flow(steps)
        blocks += [Figure(flow)] if flow else []
        names = ["stage", "handed on to it", "in", "kept", "removed", "rejected", "adds up"]
        blocks.append(Figure(Table("Documents through the stages", names, _funnel_rows(steps))))
        wrong = [step.stage for step in steps if not step.adds_up]
        blocks.append(
            plain(f"Does not add up: {', '.join(wrong)}.", "bad")
            if wrong
            else plain("✓ Every stage adds up.", "good")
        )
        blocks.append(plain(_ADDS_UP, "note"))
        if reasons := _reasons(steps):
            names = ["stage", "", "reason", "rows", "% of its input"]
            blocks.append(Figure(Table("Why", names, reasons)))
    if others := _other_counts(steps, recorded):
        names = ["stage", "unit", "in", "kept or used", "removed or unused", "rejected", "adds up"]
        blocks.append(Figure(Table("Counts of the other stages", names, others)))
    return blocks


_ADDS_UP = (
    "✓: rows in = kept + removed + rejected, and as many as the stage before handed on. A source "
    "counts the records in its files."
)


def _reasons(steps: Sequence[Step]) -> list[list[Cell]]:
    return [
        [step.stage, fate, reason, count, 100 * count / step.rows_in]
        for step in steps
        for fate, by_reason in (("removed", step.removed), ("rejected", step.rejected))
        for reason, count in sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    ]


def _other_counts(steps: Sequence[Step], recorded: Mapping[str, Recorded]) -> list[list[Cell]]:
    shown = {step.stage for step in steps}
    others: list[list[Cell]] = []
    for name, each in recorded.items():
        totals = each.artifact.manifest.totals
        # What is packed is told in documents above, and here in tokens.
        if (name in shown and totals.unit != "token") or not totals.rows_in:
            continue
        removed, rejected = sum(totals.removed.values()), sum(totals.rejected.values())
        mark = "✓" if totals.rows_in == totals.kept + removed + rejected else "✗"
        others.append([name, totals.unit, totals.rows_in, totals.kept, removed, rejected, mark])
    return others


def _funnel_rows(steps: Sequence[Step]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for step in steps:
        removed, rejected = sum(step.removed.values()), sum(step.rejected.values())
        mark = (
            "✓" if step.adds_up else f"✗ {number(step.rows_in - step.kept - step.left_out)} missing"
        )
        rows.append([step.stage, step.handed_on, step.rows_in, step.kept, removed, rejected, mark])
    return rows


def _samples(artifacts: Mapping[str, Artifact], limits: SampleLimits) -> list[Block]:
    kept = samples.kept_samples(artifacts, limits)
    panels: list[Panel] = [] if kept is None else [kept]
    for artifact in artifacts.values():
        panels += samples.left_out_samples(artifact, artifacts, limits)
    return _figures(panels)


def _stage(each: Recorded) -> Part:
    """What was recorded of a stage and stands in no chapter."""
    manifest, view = each.artifact.manifest, each.view
    read: list[list[Cell]] = [
        [name, f"{record.stage}.{record.output}", record.data_id]
        for name, record in manifest.inputs.items()
    ]
    read += [
        [name, f"{number(record.count)} external files", record.data_id]
        for name, record in manifest.externals.items()
    ]
    made: list[list[Cell]] = [
        [
            name,
            output.rows if output.columns is not None else None,
            output.count,
            size(output.bytes),
            output.data_id,
        ]
        for name, output in manifest.outputs.items()
    ]
    facts = [
        f"took {duration(manifest.timings.seconds)}",
        size(manifest.bytes),
        f"version {manifest.code.version}",
        f"recipe {manifest.build_id[:16]}",
        f"attempt {manifest.attempt}",
    ]
    execution = [[key, as_text(value)] for key, value in flat(manifest.execution).items()]
    told = prose.shown_panels()
    further = [panel for panel in view.panels if (manifest.stage, panel.title) not in told]
    folded: list[tuple[str, Table]] = [
        ("Config", Table("", ["field", "value", "default", "what it is"], view.config.rows)),
        ("Inputs", Table("", ["input", "from", "data id"], read)),
        ("Outputs", Table("", ["output", "rows", "files", "size", "data id"], made)),
        ("How it was run", Table("", ["field", "value"], execution)),
    ]
    return Part(
        f"stage-{manifest.stage}",
        manifest.stage,
        [
            plain(view.description),
            plain(" · ".join(facts), "note"),
            *_figures(further),
            *(Folded(title, [Figure(table)]) for title, table in folded if table.rows),
        ],
    )


def _lineage(artifacts: Mapping[str, Artifact]) -> list[Block]:
    foreign = evidence.foreign_inputs(artifacts)
    warning = (
        f"Not all of one run: {'; '.join(foreign)}, from another build than the one shown here. "
        "Run the whole recipe to bring them together."
    )
    return [
        *([plain(warning, "bad")] if foreign else []),
        Figure(evidence.lineage(artifacts)),
        Folded("Every input with its identity", [Figure(evidence.inputs(artifacts))]),
    ]


def _time(artifacts: Mapping[str, Artifact]) -> list[Block]:
    whole = size(sum(artifact.manifest.bytes for artifact in artifacts.values()))
    seconds = duration(outcome.seconds_of(artifacts))
    return [
        plain(f"{seconds} in all stages, {whole} of artifacts."),
        Figure(evidence.attempts(artifacts)),
    ]


def _recipe(artifacts: Mapping[str, Artifact]) -> list[Block]:
    import yaml  # not before: every command imports the report, and few draw it

    text = yaml.safe_dump(
        {name: artifact.manifest.config for name, artifact in artifacts.items()},
        sort_keys=False,
        allow_unicode=True,
    )
    return [plain(_RECIPE, "note"), Text(text)]


_RECIPE = (
    "Every field that decides the result. File paths, workers and devices do not, and are left out."
)


def funnel_picture(artifacts: Mapping[str, Artifact]) -> str:
    """The funnel as a file of its own: an SVG that shows in a light and a dark page."""
    return standalone(_bars(funnel(artifacts)))


def _bars(steps: Sequence[Step]) -> str:
    bars = [
        Bar(
            step.stage,
            [step.kept, sum(step.removed.values()), sum(step.rejected.values())],
            f"{number(step.kept)} of {number(step.rows_in)} ({share:.1%} of the first)",
        )
        for step, share in zip(steps, shares(steps), strict=True)
    ]
    return stacked_bars("Documents by stage", ["kept", "removed", "rejected"], bars)
