"""`ingot plan` and `ingot run`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.cli.approving import ApproveAbove, Yes, require_approval
from flows.cli.importing import all_of_it_stays
from flows.cli.options import AsJson, Changes, Force, Only, Recipe, Start
from flows.cli.server_for_run import server_for_run
from flows.home import require_writable
from flows.planning import keep_changes, planner
from tasks.approval_limits import limits_of
from tasks.engine.identity.snapshot import root
from tasks.engine.run.plan import Planner, Row, Status
from tasks.machine import require_devices
from tasks.recipe import load

if TYPE_CHECKING:
    from flows.running import Outcome

_COLOURS = {
    Status.FRESH: "green",
    Status.STALE: "yellow",
    Status.MISSING: "yellow",
    Status.PENDING: "cyan",
    Status.DAMAGED: "red",
    Status.DRIFT: "magenta",
    Status.FORCED: "yellow",
    Status.HELD: "blue",
    Status.UNSELECTED: "dim",
}


def row_record(row: Row) -> dict[str, Any]:
    """A plan row for `--json`."""
    return {
        "stage": row.stage,
        "status": row.status.value,
        "reasons": list(row.reasons),
        "runs": row.runs,
        "build_id": row.build_id,
        "estimated_seconds": row.seconds,
        "bytes": row.bytes,
    }


def show_plan(rows: list[Row]) -> None:
    """The plan as a table on the terminal."""
    table = Table("stage", "status", "why", "last took", "size", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            row.stage,
            f"[{_COLOURS[row.status]}]{row.status.value}[/]",
            escape("\n".join(row.reasons)),
            "" if row.seconds is None else f"{row.seconds:,.1f} s",
            "" if row.bytes is None else f"{row.bytes / 1e6:,.1f} MB",
        )
    Console().print(table)
    sure = sum(row.seconds or 0 for row in rows if row.runs)
    perhaps = sum(row.seconds or 0 for row in rows if row.runs is None)
    unknown = sum(row.seconds is None for row in rows if row.runs is not False)
    if sure or perhaps:
        stages = "1 stage was" if unknown == 1 else f"{unknown} stages were"
        new = f"; {stages} never timed" if unknown else ""
        more = f", and {perhaps:.0f} s more if inputs change" if perhaps else ""
        print(f"estimated: {sure:.0f} s{more}{new}")


def show_forecast(planned: Planner, rows: list[Row]) -> None:
    """What pretraining will reach, where small runs of an earlier `ingot forecast` tell."""
    if not any(row.stage == "pretrain" and row.runs for row in rows):
        return
    from tasks import forecasting  # only now: it needs numpy

    found = forecasting.of_plan(planned, rows)
    if found is not None:
        print(f"forecast: {forecasting.in_words(found)}")


def _may_run(rows: list[Row]) -> list[str]:
    return [row.stage for row in rows if row.runs is not False]


def plan(
    recipe: Recipe = "quickstart",
    changes: Changes = [],  # noqa: B006 - Typer reads the default, nobody writes it
    only: Only = [],  # noqa: B006
    start: Start = [],  # noqa: B006
    force: Force = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Show what a run would do, stage by stage, and why, without running anything."""
    planned = planner(recipe, changes, only, start, force)
    rows = planned.plan()
    if as_json:
        print(json.dumps([row_record(row) for row in rows], indent=1))
    else:
        show_plan(rows)
        show_forecast(planned, rows)
    require_devices(planned.configs, _may_run(rows))


def run(
    recipe: Recipe = "quickstart",
    changes: Changes = [],  # noqa: B006
    only: Only = [],  # noqa: B006
    start: Start = [],  # noqa: B006
    force: Force = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and exit.")] = False,
    save_as: Annotated[
        str,
        typer.Option(
            "--save-as",
            help="Keep what --set changes as a recipe of this name, and run that.",
            metavar="NAME",
        ),
    ] = "",
    approve_above: ApproveAbove = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Bring a recipe up to date; starts a Prefect server if none is running."""
    if save_as:
        require_writable()
        recipe, changes = keep_changes(recipe, changes, save_as), []
        if not as_json:
            print(f"saved as {root() / recipe}; from now on: ingot run --recipe {recipe}")
    selection = (recipe, changes, only, start, force)
    limits = limits_of(approve_above or load(recipe).approve_above)
    if dry_run:
        plan(*selection, as_json)
        return
    planned = planner(*selection)
    rows = planned.plan()
    if not as_json:
        show_plan(rows)
        show_forecast(planned, rows)
    require_devices(planned.configs, _may_run(rows))
    if limits is not None:
        require_approval(planned, rows, limits, yes, tell=not as_json)
    done = build_planned(selection, planned, quiet=as_json)
    outcomes = done.outcomes
    record = {
        "seconds": done.seconds,
        "ui": done.ui,
        "stages": [
            {
                "stage": outcome.stage,
                "state": outcome.state,
                "build_id": outcome.artifact.manifest.build_id,
                "manifest": outcome.artifact.manifest_path,
            }
            for outcome in outcomes
        ],
    }
    if as_json:
        print(json.dumps(record, indent=1))
        return
    states = {outcome.state for outcome in outcomes}
    for state in sorted(states):
        names = [outcome.stage for outcome in outcomes if outcome.state == state]
        print(f"{state}: {', '.join(names)}")
    print(f"done in {record['seconds']} s")
    for outcome in outcomes:
        outputs = outcome.artifact.manifest.outputs
        if "scores" in outputs:
            _scores(outcome.artifact)
        if "report" in outputs:
            print(f"report: {outcome.artifact.data('report').folder() / 'index.html'}")


@dataclass(frozen=True)
class Done:
    """What came of each stage of a run, how long it took, and where Prefect's UI is."""

    outcomes: Sequence[Outcome]
    seconds: float
    ui: str


def build_planned(
    selection: tuple[str, list[str], list[str], list[str], list[str]], planned: Planner, quiet: bool
) -> Done:
    """Run what was planned, with a server that is started if none is running.

    Args:
        selection: what was asked for: recipe, changes, only, start, force.
        quiet: say nothing of the server.
    """
    ui = server_for_run(tell=not quiet)
    with all_of_it_stays():
        from flows.cli.terminal import run_build
        from flows.crashed_runs import report_crashed_runs

    report_crashed_runs()
    began = time.monotonic()
    outcomes = run_build(selection, planned)
    return Done(outcomes, round(time.monotonic() - began, 1), ui)


def _scores(artifact: Any) -> None:
    rows = artifact.data("scores").table().to_pylist()
    models = list(dict.fromkeys(row["model"] for row in rows))
    table = Table("metric", *models, box=None, pad_edge=False)
    values = {(row["metric"], row["model"]): row["value"] for row in rows}
    for metric in dict.fromkeys(row["metric"] for row in rows):
        cells = [values.get((metric, model)) for model in models]
        table.add_row(metric, *["" if cell is None else f"{cell:.4f}" for cell in cells])
    Console().print(table)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(plan)
    app.command()(run)
