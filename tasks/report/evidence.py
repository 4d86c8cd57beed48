"""What the manifests say of a run as a whole: lineage, time and size, versions, licences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tasks.engine.store.artifact import Artifact
from tasks.panels.numbers import duration, number, size
from tasks.panels.panels import Cell, Graph, Table
from tasks.panels.svg import Bar
from tasks.report.funnel import same_rows

_SHORT = 8
_LICENCES = 300


def lineage(artifacts: Mapping[str, Artifact]) -> Graph:
    """Stages with the beginning of their build ids; edges with the outputs read."""
    nodes = {
        name: f"{name}\n{artifact.manifest.build_id[:_SHORT]}"
        for name, artifact in artifacts.items()
    }
    edges = []
    for name, artifact in artifacts.items():
        read = {(record.stage, record.output) for record in artifact.manifest.parents.values()}
        edges += [(stage, name, output) for stage, output in sorted(read)]
        for external, files in artifact.manifest.externals.items():
            if files.count:
                source = f"{name}/{external}"
                nodes[source] = f"{external}\n{number(files.count)} external files"
                edges.append((source, name, files.data_id[:_SHORT]))
    return Graph("Which stage read which output", nodes, edges)


def inputs(artifacts: Mapping[str, Artifact]) -> Table:
    """Every input of every stage with its identity, and whether it is the one reported on."""
    rows: list[list[Cell]] = []
    for name, artifact in artifacts.items():
        for field, record in artifact.manifest.parents.items():
            parent = artifacts.get(record.stage)
            if parent is None:
                state = "not in this report"
            else:
                state = "yes" if same_rows(record, parent) else "no, another build"
            source = f"{record.stage}.{record.output}"
            rows.append([name, field, source, record.data_id[: 2 * _SHORT], state])
        for field, external in artifact.manifest.externals.items():
            source = f"{number(external.count)} external files"
            rows.append([name, field, source, external.data_id[: 2 * _SHORT], "yes"])
    note = (
        "The last column says whether the stage read the build of its parent that this "
        "report shows."
    )
    return Table("Inputs", ["stage", "input", "from", "data id", "as shown"], rows, note)


def foreign_inputs(artifacts: Mapping[str, Artifact]) -> list[str]:
    """Inputs that are another build of a stage than the one shown, as "dedup reads clean"."""
    return [
        f"{name} reads {record.stage}.{record.output}"
        for name, artifact in artifacts.items()
        for record in artifact.manifest.parents.values()
        if record.stage in artifacts and not same_rows(record, artifacts[record.stage])
    ]


def times(artifacts: Mapping[str, Artifact]) -> list[Bar]:
    """Seconds a stage, for a drawing."""
    return [
        Bar(name, [artifact.manifest.timings.seconds], duration(artifact.manifest.timings.seconds))
        for name, artifact in artifacts.items()
    ]


def attempts(artifacts: Mapping[str, Artifact]) -> Table:
    """When and how each stage was built, and how large it is."""
    rows: list[list[Cell]] = []
    for name, artifact in artifacts.items():
        timings = artifact.manifest.timings
        rows.append(
            [
                name,
                moment(timings.started),
                duration(timings.seconds),
                timings.shards_built,
                timings.shards_adopted,
                size(artifact.manifest.bytes),
                artifact.manifest.attempt,
            ]
        )
    names = ["stage", "started", "took", "shards built", "adopted", "size", "attempt"]
    note = "Shards adopted were taken over from earlier attempts, and cost no time in this one."
    return Table("Built", names, rows, note)


def moment(iso: str) -> str:
    """An ISO 8601 time in UTC to the minute."""
    return f"{iso[:10]} {iso[11:16]} UTC"


def versions(artifacts: Mapping[str, Artifact]) -> Table:
    """Libraries and environment as recorded; a line for each version that was used."""
    used: dict[tuple[str, str], list[str]] = {}
    for name, artifact in artifacts.items():
        manifest = artifact.manifest
        known = {**manifest.code.libraries, **manifest.environment}
        if manifest.code.commit:
            changed = " and local changes" if manifest.code.dirty else ""
            known["code (commit)"] = manifest.code.commit[:12] + changed
        for library, version in known.items():
            used.setdefault((library, version), []).append(name)
    every = len(artifacts)
    rows = [
        [library, version, "all" if len(stages) == every else ", ".join(stages)]
        for (library, version), stages in sorted(used.items())
    ]
    return Table("Versions", ["", "version", "in"], rows)


def licences(pages: Artifact) -> Table:
    """Pages by source, distribution and licence, as their provenance says."""
    counts: Counter[tuple[str, str, str]] = Counter()
    names = ["source", "provenance.distribution", "provenance.license"]
    for table in pages.data("pages").tables(names):
        flat = table.flatten().rename_columns(["source", "distribution", "license"])
        for row in flat.group_by(flat.column_names).aggregate([([], "count_all")]).to_pylist():
            key = (row["source"], row["distribution"] or "", row["license"] or "not stated")
            counts[key] += row["count_all"]
    rows = sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0]))
    left = len(rows) - _LICENCES
    note = f"{number(left)} more are not shown." if left > 0 else ""
    shown: list[list[Cell]] = [[*key, count] for key, count in rows[:_LICENCES]]
    return Table("Pages by licence", ["source", "distribution", "license", "pages"], shown, note)
