"""The report as one HTML file: no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from tasks.engine.run.difference import flat
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.views import stated
from tasks.panels.escaping import escaped
from tasks.panels.html import html, table
from tasks.panels.numbers import duration, number, size
from tasks.panels.panels import Cell, StageView
from tasks.panels.pictures import standalone
from tasks.panels.svg import Bar, stacked_bars
from tasks.report import evidence, samples
from tasks.report.funnel import Step, funnel, shares
from tasks.report.samples import Extent
from tasks.report.style import CSS


@dataclass(frozen=True)
class Chapter:
    """One stage on the page: what it made, and what was to be shown of that when it was made."""

    artifact: Artifact
    view: StageView


@dataclass(frozen=True)
class _Section:
    anchor: str
    title: str
    body: str
    below: Sequence[tuple[str, str]] = ()  # (anchor, title) of what the contents list under it


def page(title: str, chapters: Mapping[str, Chapter], steps: Sequence[Step], extent: Extent) -> str:
    """The whole file.

    Args:
        chapters: by stage name, in the order of the chain.
        steps: of the funnel.
    """
    artifacts = {name: chapter.artifact for name, chapter in chapters.items()}
    sections = [
        _Section("funnel", "From pages to training data", _funnel(steps, chapters)),
        _samples(artifacts, extent),
        *_licences(artifacts),
        _Section(
            "stages",
            "Stages",
            "".join(_chapter(chapter) for chapter in chapters.values()),
            [(f"stage-{name}", name) for name in chapters],
        ),
        _Section("lineage", "Lineage", _lineage(artifacts)),
        _Section("time", "Time and size", _time(artifacts)),
        _Section("versions", "Versions", html(evidence.versions(artifacts))),
        _Section("recipe", "Recipe", _recipe(artifacts)),
    ]
    shown = [section for section in sections if section.body]
    body = "".join(
        f'<section id="{s.anchor}"><h2>{escaped(s.title)}</h2>{s.body}</section>' for s in shown
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Nothing in the data can make a reader's browser load or run anything.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escaped(title)}</title><style>{CSS}</style></head><body>"
        f'<div class="page">{_contents(shown)}<main>{_head(title, artifacts, steps)}{body}</main>'
        "</div></body></html>\n"
    )


def _contents(sections: Sequence[_Section]) -> str:
    items = []
    for section in sections:
        below = "".join(
            f'<li><a href="#{escaped(anchor)}">{escaped(title)}</a></li>'
            for anchor, title in section.below
        )
        nested = f"<ol>{below}</ol>" if below else ""
        items.append(f'<li><a href="#{section.anchor}">{escaped(section.title)}</a>{nested}</li>')
    return f'<nav aria-label="Contents"><p class="head">Contents</p><ol>{"".join(items)}</ol></nav>'


def _head(title: str, artifacts: Mapping[str, Artifact], steps: Sequence[Step]) -> str:
    manifests = [artifact.manifest for artifact in artifacts.values()]
    started = sorted(manifest.timings.started for manifest in manifests)
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
    drawn = "".join(f"<div><b>{escaped(a)}</b><span>{escaped(b)}</span></div>" for a, b in tiles)
    first, last = evidence.moment(started[0]), evidence.moment(started[-1])
    when = first if first == last else f"{first} to {last}"
    return (
        f'<h1>{escaped(title)}</h1><p class="lead">Recipe of {number(len(artifacts))} stages: '
        f"{escaped(', '.join(artifacts))}. Started {when}.</p>"
        f'<div class="tiles">{drawn}</div>'
    )


def _funnel(steps: Sequence[Step], chapters: Mapping[str, Chapter]) -> str:
    parts = []
    if steps:
        parts.append(_bars(steps))
        parts.append(table(*_funnel_table(steps)))
        wrong = [step.stage for step in steps if not step.adds_up]
        if wrong:
            parts.append(f'<p class="bad">Does not add up: {escaped(", ".join(wrong))}.</p>')
        else:
            parts.append('<p class="good">✓ Every stage adds up.</p>')
        parts.append(
            '<p class="note">✓: what came in is what was kept, removed and rejected, and as many '
            "rows as the stage before handed on. A source counts records of its files.</p>"
        )
        reasons: list[list[Cell]] = [
            [step.stage, fate, reason, count, 100 * count / step.rows_in]
            for step in steps
            for fate, by_reason in (("removed", step.removed), ("rejected", step.rejected))
            for reason, count in sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
        ]
        if reasons:
            names = ["stage", "", "reason", "rows", "% of its input"]
            parts.append(f"<h3>Why</h3>{table(names, reasons)}")
    told = {step.stage for step in steps}
    others: list[list[Cell]] = []
    for name, chapter in chapters.items():
        totals = chapter.artifact.manifest.totals
        # What is packed is told in documents above, and here in tokens.
        if (name in told and totals.unit != "token") or not totals.rows_in:
            continue
        removed, rejected = sum(totals.removed.values()), sum(totals.rejected.values())
        mark = "✓" if totals.rows_in == totals.kept + removed + rejected else "✗"
        others.append([name, totals.unit, totals.rows_in, totals.kept, removed, rejected, mark])
    if others:
        names = ["stage", "unit", "in", "kept or used", "removed or unused", "rejected", "adds up"]
        parts.append(f"<h3>Counts of the other stages</h3>{table(names, others)}")
    return "".join(parts)


def _funnel_table(steps: Sequence[Step]) -> tuple[list[str], list[list[Cell]]]:
    rows: list[list[Cell]] = []
    for step in steps:
        removed, rejected = sum(step.removed.values()), sum(step.rejected.values())
        mark = "✓" if step.adds_up else f"✗ {number(step.rows_in - step.kept - step.gone)} missing"
        rows.append([step.stage, step.given, step.rows_in, step.kept, removed, rejected, mark])
    return ["stage", "handed on to it", "in", "kept", "removed", "rejected", "adds up"], rows


def _samples(artifacts: Mapping[str, Artifact], extent: Extent) -> _Section:
    kept = samples.kept(artifacts, extent)
    panels = [] if kept is None else [kept]
    for artifact in artifacts.values():
        panels += samples.gone(artifact, artifacts, extent)
    return _Section("samples", "Kept and removed, to read", "".join(map(html, panels)))


def _licences(artifacts: Mapping[str, Artifact]) -> list[_Section]:
    return [
        _Section("licences", "Licences of the sources", html(evidence.licences(artifact)))
        for artifact in artifacts.values()
        if "provenance" in samples.columns(artifact, "pages")
    ]


def _chapter(chapter: Chapter) -> str:
    manifest = chapter.artifact.manifest
    figures = [
        f"took {duration(manifest.timings.seconds)}",
        size(manifest.bytes),
        f"version {manifest.code.version}",
        f"recipe {manifest.build_id[:16]}",
        f"attempt {manifest.attempt}",
    ]
    read: list[list[Cell]] = [
        [name, f"{record.stage}.{record.output}", record.data_id]
        for name, record in manifest.inputs.items()
    ]
    read += [
        [name, f"{number(len(record.items))} from outside", record.data_id]
        for name, record in manifest.externals.items()
    ]
    made: list[list[Cell]] = [
        [
            name,
            output.rows if output.columns is not None else None,
            len(output.files),
            size(output.bytes),
            output.data_id,
        ]
        for name, output in manifest.outputs.items()
    ]
    how: list[list[Cell]] = [
        [key, stated(value)] for key, value in flat(manifest.execution).items()
    ]
    anchor, config = f"stage-{manifest.stage}", chapter.view.config
    return (
        f'<section id="{escaped(anchor)}"><h3>{escaped(manifest.stage)}</h3>'
        f"<p>{escaped(chapter.view.description)}</p>"
        f'<p class="note">{escaped(" · ".join(figures))}</p>'
        f"{''.join(map(html, chapter.view.panels))}"
        + _more("Config", table(config.columns, config.rows))
        + _more("Inputs", table(["input", "from", "data id"], read) if read else "")
        + _more("Outputs", table(["output", "rows", "files", "size", "data id"], made))
        + _more("How it was run", table(["field", "value"], how))
        + "</section>"
    )


def _more(title: str, body: str) -> str:
    if not body:
        return ""
    return f'<details class="more"><summary>{escaped(title)}</summary>{body}</details>'


def _lineage(artifacts: Mapping[str, Artifact]) -> str:
    strange = evidence.strangers(artifacts)
    warning = ""
    if strange:
        warning = (
            f'<p class="bad">Not of one piece: {escaped("; ".join(strange))}, but of another build '
            "than the one shown here. Running the whole recipe makes it so.</p>"
        )
    drawn = html(evidence.lineage(artifacts))
    return warning + drawn + html(evidence.inputs(artifacts))


def _time(artifacts: Mapping[str, Artifact]) -> str:
    drawn = stacked_bars("Seconds by stage", ["seconds"], evidence.times(artifacts))
    return f'<figure class="panel">{drawn}</figure>' + html(evidence.attempts(artifacts))


def _recipe(artifacts: Mapping[str, Artifact]) -> str:
    text = yaml.safe_dump(
        {name: artifact.manifest.config for name, artifact in artifacts.items()},
        sort_keys=False,
        allow_unicode=True,
    )
    return (
        '<p class="note">Every field that decides the result. Places of files, workers and '
        f"devices do not, and are left out.</p><pre>{escaped(text)}</pre>"
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
