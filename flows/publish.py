"""What a run shows in Prefect: plan, lineage, funnel, and each stage's panels, as artifacts."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import ParamSpec

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.overview import Overview, show_failure
from flows.pictures import (
    publish_experiment,
    publish_funnel,
    publish_lineage,
    publish_picture,
)
from flows.reports import page
from tasks import attempts_compared as attempts
from tasks.best_effort import SERVER_AWAY, unreachable
from tasks.comparison import comparing
from tasks.comparison.comparing import Comparison
from tasks.engine.errors import DamagedArtifactError
from tasks.engine.run.chain import Chain
from tasks.engine.run.plan import Row
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.engine.store.views import advice, kept_view
from tasks.findings import worth_table
from tasks.findings.result import Result as Worth
from tasks.forecasting import Result, in_words, rows_of
from tasks.panels.markdown import inline, markdown
from tasks.panels.narrow import narrowed
from tasks.panels.numbers import duration, size
from tasks.panels.panels import Flow, Graph, Panel
from tasks.papers.papers import Papers
from tasks.report.funnel import funnel as steps_of
from tasks.report.funnel_flow import funnel_flow
from tasks.runner import other_settings

# All of it lies in the server's database; a page nobody scrolls through helps nobody.
_MARKDOWN_LIMIT = 60_000
# Of a stage's documents; a run does not wait for more to be compared, `ingot diff` does.
_MOST_DOCUMENTS = 1_000_000
P = ParamSpec("P")

# What could not be shown when it was made, and of which flow run it is.
_LATER: list[tuple[str | None, Callable[[], None]]] = []


def best_effort(publish: Callable[P, None]) -> Callable[P, None]:
    """A function that shows something: where the server is away it waits for `catch_up`."""

    @functools.wraps(publish)
    def shown(*arguments: P.args, **named: P.kwargs) -> None:
        again = functools.partial(publish, *arguments, **named)
        if SERVER_AWAY.is_set() or not _try_publish(again):
            _LATER.append((flow_run.id, again))

    return shown


def _try_publish(publish: Callable[[], None]) -> bool:
    # The stages do not wait for it, and what it shows can wait.
    with other_settings("client", max_retries=0):
        try:
            publish()
        except Exception as error:
            if not unreachable(error):
                raise
            return False
    return True


def catch_up(answers: bool) -> None:
    """Show what could not be shown while the server was away: the run is over.

    Args:
        answers: whether the server is back.
    """
    waiting = [publish for run, publish in _LATER if run == flow_run.id]
    _LATER.clear()
    missed = 0
    for publish in waiting:
        try:
            missed += not (answers and _try_publish(publish))
        except Exception as error:  # noqa: BLE001 - how the run ended is what counts now
            missed += 1
            get_run_logger().warning("not shown: %s: %s", type(error).__name__, error)
    if missed:
        count = "1 artifact is" if missed == 1 else f"{missed} artifacts are"
        get_run_logger().warning("%s not shown; the next run shows what it has of them", count)


@best_effort
def plan(rows: Sequence[Row]) -> None:
    """The plan with its reasons, as a table."""
    create_table_artifact(
        key="plan",
        description="What this run does, and why",
        table=[
            {
                "stage": row.stage,
                "status": row.status.value,
                "last took": "-" if row.seconds is None else duration(row.seconds),
                "size": "-" if row.bytes is None else size(row.bytes),
                # Last: where the page has no room for a row, its end is out of sight.
                "why": "; ".join(row.reasons) or "-",
            }
            for row in rows
        ],
    )


@best_effort
def lineage(chain: Chain, store: Store) -> None:
    """Which stage reads which output: a picture, and the same as a Mermaid graph."""
    edges = [
        (parent, name, output)
        for name, wires in chain.wiring.items()
        for parent, output in sorted(set(wires.values()))
        if name != "report"
    ]
    graph = Graph("Lineage", {name: name for name in chain.stages if name != "report"}, edges)
    drawn_at = publish_lineage(graph, store)
    if drawn_at is not None:
        create_image_artifact(
            key="lineage-picture",
            image_url=drawn_at,
            description="Which stage reads which output",
        )
    create_markdown_artifact(key="lineage", markdown=markdown(graph), description="Lineage")


@best_effort
def funnel(artifacts: Sequence[Artifact]) -> None:
    """Rows in, kept, removed, rejected of every stage as a table; documents as a picture."""
    rows = []
    for artifact in artifacts:
        totals = artifact.manifest.totals
        if totals.rows_in:
            rows.append(
                {
                    "stage": artifact.stage,
                    "unit": totals.unit,
                    "in": totals.rows_in,
                    "kept": totals.kept,
                    "removed": sum(totals.removed.values()),
                    "rejected": sum(totals.rejected.values()),
                    "seconds": round(artifact.manifest.timings.seconds, 1),
                }
            )
    create_table_artifact(key="funnel", table=rows, description="Rows through the stages")
    flow = funnel_flow(steps_of({artifact.stage: artifact for artifact in artifacts}))
    drawn_at = publish_funnel(flow, artifacts[0].store) if flow else None
    if drawn_at is not None:
        create_image_artifact(
            key="funnel-picture",
            image_url=drawn_at,
            description="Documents on their way through the stages, and what leaves them",
        )


@best_effort
def forecast(found: Result) -> None:
    """The small runs a forecast rests on, and what it says."""
    create_table_artifact(key="forecast", description=in_words(found), table=rows_of(found))


@best_effort
def approval(said: str, table: Sequence[dict[str, str]]) -> None:
    """What a run would take, which somebody is to approve."""
    create_table_artifact(key="approval", description=said, table=list(table))


@best_effort
def comparison(found: Comparison) -> None:
    """Models compared, in one page."""
    text = join_panels([markdown(panel) for panel in comparing.panels(found)])
    create_markdown_artifact(key="compare", markdown=text, description=comparing.in_words(found))


@best_effort
def learning(panels: Sequence[Panel], said: str) -> None:
    """What there is to learn from, in one page."""
    text = join_panels([markdown(panel) for panel in panels])
    create_markdown_artifact(key="learn", markdown=text, description=said)


@best_effort
def found_pages(panels: Sequence[Panel], said: str) -> None:
    """What holds pages that are to go, in one page."""
    text = join_panels([markdown(panel) for panel in panels])
    create_markdown_artifact(key="forget", markdown=text, description=said)


@best_effort
def certificate(document: str, said: str, path: str) -> None:
    """The certificate that pages went, in one page.

    Args:
        path: of the same as JSON.
    """
    text = f"{document}\nIt lies in the home as {inline(path)}, and as text beside it.\n"
    # A part is what one heading is over.
    text = join_panels(re.split(r"\n\n(?=### )", text))
    create_markdown_artifact(key="certificate", markdown=text, description=said)


@best_effort
def papers(made: Papers | None) -> None:
    """What changed in the papers of a recipe, where they were made again."""
    if made is not None:
        lines = "\n".join(made.changes) or "Nothing that they say."
        text = f"{made.place}\n\n```diff\n{lines[:_MARKDOWN_LIMIT]}\n```"
        create_markdown_artifact(key="papers", markdown=text, description="Papers made again")


@best_effort
def experiment(found: Worth, removals: Flow, store: Store) -> None:
    """What variants of a recipe are worth, in one page, with a picture of its funnel."""
    shown = [markdown(panel) for panel in worth_table.panels(found)]
    shown.append(markdown(removals, publish_experiment(removals, store)))
    create_markdown_artifact(
        key="experiment", markdown=join_panels(shown), description=worth_table.in_words(found)
    )


@best_effort
def change(before: Artifact, after: Artifact) -> None:
    """What is another in a stage that was built anew, in one page."""
    rows = max(artifact.manifest.totals.rows_in for artifact in (before, after))
    try:
        found = attempts.difference(before, after, documents=rows <= _MOST_DOCUMENTS)
    except (DamagedArtifactError, OSError) as error:  # that the one before is there nobody says
        get_run_logger().info("not compared with the attempt before: %s", error)
        return
    text = join_panels([markdown(panel) for panel in attempts.panels(found)])
    create_markdown_artifact(
        key=f"change-{after.stage}",
        markdown=text,
        description=f"{after.stage}: what is another than in the attempt before",
    )


@best_effort
def overview(of: Overview) -> None:
    """The run, stage by stage."""
    of.show()


@best_effort
def failure(error: Exception) -> None:
    """What went wrong, and the way out."""
    show_failure(error)


@best_effort
def panels(artifact: Artifact) -> None:
    """A stage's panels as one Markdown artifact; the report also as a link."""
    try:
        view = kept_view(artifact)
    except DamagedArtifactError as error:  # what was built is whole, and is served
        view = None
        get_run_logger().warning("no panels: %s", error)
    else:
        if view is None:
            get_run_logger().info("no panels: %s", advice(artifact))
    if view is not None:
        text = join_panels(
            [markdown(panel, publish_picture(panel, artifact)) for panel in view.panels]
        )
        if text:
            create_markdown_artifact(
                key=f"stage-{artifact.stage}", markdown=text, description=view.description
            )
    for output in artifact.manifest.outputs:
        if output == "report":
            create_link_artifact(
                key="report",
                link=page(artifact),
                link_text="How this model was made",
                description=f"One page: {artifact.data(output).folder() / 'index.html'}",
            )


def join_panels(panels: Sequence[str], limit: int = _MARKDOWN_LIMIT) -> str:
    """Panels below each other, whole ones only, up to `limit` characters; what is left out is said.

    A panel too long by itself is left out too: cut anywhere, its tables and quotes would break.
    """
    kept: list[str] = []
    length = 0
    for text in map(narrowed, panels):
        if length + len(text) + 2 <= limit:
            kept.append(text)
            length += len(text) + 2
    left = len(panels) - len(kept)
    if left:
        kept.append(f"*{left} longer {'panel' if left == 1 else 'panels'} only in the report.*")
    return "\n\n".join(kept)
