"""The report as one HTML file: no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup

from tasks.engine.store.artifact import Artifact
from tasks.engine.store.views import as_text, flat
from tasks.panels.html import html, table
from tasks.panels.numbers import duration, number, size
from tasks.panels.panels import Cell, Panel, StageView
from tasks.panels.pictures import standalone
from tasks.panels.svg import Bar, stacked_bars
from tasks.panels.templates import Template
from tasks.report import data_card, evidence, samples
from tasks.report.funnel import Step, funnel, shares
from tasks.report.funnel_flow import funnel_flow
from tasks.report.samples import SampleLimits


@dataclass(frozen=True)
class Chapter:
    """One stage on the page: what it made, and what was to be shown of that when it was made."""

    artifact: Artifact
    view: StageView


@dataclass(frozen=True)
class _Section:
    anchor: str
    title: str
    body: Markup
    below: Sequence[tuple[str, str]] = ()  # (anchor, title) of what the contents list under it


_draw = Template(
    "tasks.report",
    "page.jinja",
    number=number,
    figure=lambda panel: Markup(html(panel)),
    table=lambda columns, rows: Markup(table(columns, rows)),
)


def page(
    title: str,
    chapters: Mapping[str, Chapter],
    steps: Sequence[Step],
    limits: SampleLimits,
    compared: Sequence[Panel] = (),
    safety: Sequence[Panel] = (),
) -> str:
    """The whole file.

    Args:
        chapters: by stage name, in the order of the chain.
        steps: of the funnel.
        compared: the model with the one in use.
        safety: what was measured of it, and what was not.
    """
    artifacts = {name: chapter.artifact for name, chapter in chapters.items()}
    sections = [
        _Section("funnel", "From pages to training data", _funnel(steps, chapters)),
        _samples(artifacts, limits),
        _Section("data-card", "Data card", _figures(*data_card.panels(artifacts))),
        _Section("champion", "Champion and challenger", _figures(*compared)),
        _Section("safety", "Safety", _figures(*safety)),
        _Section(
            "stages",
            "Stages",
            Markup("\n").join(_chapter(chapter) for chapter in chapters.values()),
            [(f"stage-{name}", name) for name in chapters],
        ),
        _Section("lineage", "Lineage", _lineage(artifacts)),
        _Section("time", "Time and size", _time(artifacts)),
        _Section("versions", "Versions", _figures(evidence.versions(artifacts))),
        _Section("recipe", "Recipe", _recipe(artifacts)),
    ]
    style = files("tasks.report").joinpath("page.css").read_text(encoding="utf-8")
    document = _draw(
        "document",
        title=title,
        style=Markup(style),
        sections=[section for section in sections if section.body],
        stages=list(artifacts),
        when=_when(artifacts),
        tiles=_tiles(artifacts, steps),
    )
    return f"{document}\n"


def _tiles(artifacts: Mapping[str, Artifact], steps: Sequence[Step]) -> list[tuple[str, str]]:
    """Figures at the head of the page, each with what it counts."""
    manifests = [artifact.manifest for artifact in artifacts.values()]
    tiles = [(number(steps[0].rows_in), f"records into {steps[0].stage}")] if steps else []
    if steps:
        tiles.append((number(steps[-1].kept), f"documents after {steps[-1].stage}"))
    tiles += [
        (number(manifest.totals.kept), f"tokens after {manifest.stage}")
        for manifest in manifests
        if manifest.totals.unit == "token"
    ]
    tiles.append((duration(sum(m.timings.seconds for m in manifests)), "in all stages"))
    tiles.append((size(sum(m.bytes for m in manifests)), "of artifacts"))
    return tiles


def _when(artifacts: Mapping[str, Artifact]) -> str:
    started = sorted(artifact.manifest.timings.started for artifact in artifacts.values())
    first, last = evidence.moment(started[0]), evidence.moment(started[-1])
    return first if first == last else f"{first} to {last}"


def _figures(*panels: Panel) -> Markup:
    return _draw("figures", panels=panels)


def _funnel(steps: Sequence[Step], chapters: Mapping[str, Chapter]) -> Markup:
    reasons: list[list[Cell]] = [
        [step.stage, fate, reason, count, 100 * count / step.rows_in]
        for step in steps
        for fate, by_reason in (("removed", step.removed), ("rejected", step.rejected))
        for reason, count in sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    ]
    shown = {step.stage for step in steps}
    others: list[list[Cell]] = []
    for name, chapter in chapters.items():
        totals = chapter.artifact.manifest.totals
        # What is packed is told in documents above, and here in tokens.
        if (name in shown and totals.unit != "token") or not totals.rows_in:
            continue
        removed, rejected = sum(totals.removed.values()), sum(totals.rejected.values())
        mark = "✓" if totals.rows_in == totals.kept + removed + rejected else "✗"
        others.append([name, totals.unit, totals.rows_in, totals.kept, removed, rejected, mark])
    flow = funnel_flow(steps)
    return _draw(
        "funnel",
        bars=Markup(_bars(steps)),
        flow=_figures(flow) if flow else "",
        steps=_funnel_rows(steps),
        wrong=[step.stage for step in steps if not step.adds_up],
        reasons=reasons,
        others=others,
    )


def _funnel_rows(steps: Sequence[Step]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for step in steps:
        removed, rejected = sum(step.removed.values()), sum(step.rejected.values())
        mark = (
            "✓" if step.adds_up else f"✗ {number(step.rows_in - step.kept - step.left_out)} missing"
        )
        rows.append([step.stage, step.handed_on, step.rows_in, step.kept, removed, rejected, mark])
    return rows


def _samples(artifacts: Mapping[str, Artifact], limits: SampleLimits) -> _Section:
    kept = samples.kept_samples(artifacts, limits)
    panels = [] if kept is None else [kept]
    for artifact in artifacts.values():
        panels += samples.left_out_samples(artifact, artifacts, limits)
    return _Section("samples", "Kept and removed, to read", _figures(*panels))


def _chapter(chapter: Chapter) -> Markup:
    manifest = chapter.artifact.manifest
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
    return _draw(
        "chapter",
        name=manifest.stage,
        description=chapter.view.description,
        facts=[
            f"took {duration(manifest.timings.seconds)}",
            size(manifest.bytes),
            f"version {manifest.code.version}",
            f"recipe {manifest.build_id[:16]}",
            f"attempt {manifest.attempt}",
        ],
        panels=chapter.view.panels,
        config=chapter.view.config.rows,
        inputs=read,
        outputs=made,
        execution=[[key, as_text(value)] for key, value in flat(manifest.execution).items()],
    )


def _lineage(artifacts: Mapping[str, Artifact]) -> Markup:
    panels = [evidence.lineage(artifacts), evidence.inputs(artifacts)]
    return _draw("lineage", foreign_inputs=evidence.foreign_inputs(artifacts), panels=panels)


def _time(artifacts: Mapping[str, Artifact]) -> Markup:
    bars = stacked_bars("Seconds by stage", ["seconds"], evidence.times(artifacts))
    return _draw("time", bars=Markup(bars), panels=[evidence.attempts(artifacts)])


def _recipe(artifacts: Mapping[str, Artifact]) -> Markup:
    import yaml  # not before: every command imports the report, and few draw it

    text = yaml.safe_dump(
        {name: artifact.manifest.config for name, artifact in artifacts.items()},
        sort_keys=False,
        allow_unicode=True,
    )
    return _draw("recipe", text=text)


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
