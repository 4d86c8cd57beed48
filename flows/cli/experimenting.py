"""`ingot experiment`: what each change of a recipe is worth."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.importing import all_of_it_stays
from flows.cli.options import AsJson
from flows.cli.server_for_run import server_for_run
from flows.cli.tables import console, print_rows
from flows.experiment_plan import Question, question, stages_of
from tasks.comparison.comparing import CHANGE
from tasks.engine.errors import IngotError
from tasks.experiments.shared_stages import PlannedStage, totals
from tasks.machine import require_devices
from tasks.panels.numbers import NOTHING, counted, duration
from tasks.panels.pictures import picture

_WHOLE = ("variant", CHANGE)


def experiment(
    file: Annotated[str, typer.Argument(help="YAML file: a recipe, and what its variants change.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which stages run, and exit.")
    ] = False,
    funnel: Annotated[
        Path | None,
        typer.Option(help="Write an SVG file: the base's funnel, with what each removal is worth."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train and measure variants of a recipe: a table of what each change is worth.

    Stages that variants share are built once. Stopped, it goes on where it was.
    """
    asked = question(file)
    stages = stages_of(asked)
    if dry_run and as_json:
        print(json.dumps([asdict(each) for each in stages], indent=1))
        return
    if not as_json:
        _show_stages(asked, stages)
    if dry_run:
        return
    for plan in asked.plans.values():
        require_devices(plan.configs, list(plan.chain.stages))
    server_for_run(tell=not as_json)
    with all_of_it_stays():
        from flows import experiment as flow
        from flows.cli.terminal import run_watched
        from flows.crashed_runs import report_crashed_runs
        from tasks.findings import record, worth_table
    report_crashed_runs()
    flow.LAST.clear()
    mark = flow.ASKED.set(asked)
    try:
        run_watched(lambda: flow.experiment(file=file))
    finally:
        flow.ASKED.reset(mark)
    if not flow.LAST:
        raise IngotError(
            "the Prefect server went away before all variants were built; run again: what is built "
            "is kept"
        )
    [last] = flow.LAST
    found = last.result
    if funnel is not None:
        funnel.write_text(picture(last.removals), encoding="utf-8")
    if as_json:
        print(json.dumps(record.as_record(found), indent=1, allow_nan=False))
        return
    print_rows(worth_table.rows_of(found), _WHOLE)
    print_rows(worth_table.task_rows(found), _WHOLE)
    told = console()
    for each in found.variants:
        for why in each.refused:
            told.print(f"not compared: {each.variant}: {why}")
    told.print(f"\n{worth_table.note(found)}", style="dim")
    told.print(worth_table.in_words(found))
    if funnel is not None:
        print(funnel)


def _show_stages(asked: Question, stages: list[PlannedStage]) -> None:
    """A line a run: what of it runs, and how long that took before."""
    rows = []
    for variant, seed in asked.plans:
        own = [each for each in stages if (each.variant, each.seed) == (variant, seed)]
        served, _, seconds = totals(own)
        running = [each for each in own if each.status in ("runs", "pending")]
        rows.append(
            {
                "variant": variant,
                "seed": str(seed),
                "served": str(served),
                "runs": ", ".join(
                    f"{each.stage} (if inputs change)" if each.status == "pending" else each.stage
                    for each in running
                )
                or NOTHING,
                "last took": duration(seconds) if seconds else NOTHING,
            }
        )
    print_rows(rows, _WHOLE)
    served, run, seconds = totals(stages)
    unknown = sum(each.seconds is None for each in stages if each.status in ("runs", "pending"))
    said = [f"{counted(len(asked.plans), 'run')}: {counted(served, 'stage')} served, {run} to run"]
    said += [f"estimated {duration(seconds)}"] * bool(seconds)
    said += [f"{counted(unknown, 'stage')} never timed"] * bool(unknown)
    print("; ".join(said))


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(experiment)
