"""`ingot forecast`: what pretraining will reach, before it is paid for."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.importing import all_of_it_stays
from flows.cli.options import AsJson, Changes, Recipe
from flows.home import open_store, require_writable
from flows.server import ensure_server
from tasks.engine.run.execute import BuildRequest
from tasks.engine.store.published import current


def forecast(
    recipe: Recipe = "quickstart",
    changes: Changes = [],  # noqa: B006 - Typer reads the default, nobody writes it
    runs: Annotated[
        list[str],
        typer.Option("--run", help="Rest on this finished run, by its build id. May be repeated."),
    ] = [],  # noqa: B006
    longest: Annotated[
        float | None,
        typer.Option(
            "--longest",
            metavar="SHARE",
            help="Tokens of the longest small run, as a share of the run's (three quarters where "
            "nothing is said); the nearer to 1, the surer and the dearer.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the small runs and exit.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Forecast what pretraining will reach: five small runs on the recipe's data, then a fit.

    They are kept until `ingot gc`; what the store has already is not trained again.
    """
    url, started = "", False
    if not dry_run:
        require_writable()
        url, started = ensure_server()
    with all_of_it_stays():
        from flows import forecast as flow
        from flows.cli.terminal import run_watched
        from flows.crashed_runs import report_crashed_runs
        from tasks import forecasting
    asked = flow.question(recipe, changes, runs, longest)
    if dry_run:
        _show_small_runs(flow.requests(flow.resolved(asked)), as_json)
        return
    if not as_json:
        print(
            f"Prefect UI: {url.removesuffix('/api')}"
            + (" (started; `ingot down` stops it)" if started else "")
        )
    report_crashed_runs()
    mark = flow.ASKED.set(asked)
    try:
        run_watched(lambda: flow.forecast(recipe=recipe, changes=changes, runs=runs))
    finally:
        flow.ASKED.reset(mark)
    [found] = flow.LAST
    if as_json:
        print(json.dumps(asdict(found), indent=1))
        return
    rows = forecasting.rows_of(found)
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
    print(forecasting.in_words(found))


def _show_small_runs(requests: list[BuildRequest], as_json: bool) -> None:
    from tasks import forecasting

    rows = []
    for request in requests:
        parameters, tokens = forecasting.size_of(request)
        there = current(open_store(), request.stage.name, request.build_id) is not None
        rows.append({"parameters": parameters, "tokens": tokens, "built": there})
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("parameters", "tokens", "", box=None, pad_edge=False)
    for row in rows:
        table.add_row(
            f"{row['parameters'] / 1e6:,.2f} M",
            f"{row['tokens'] / 1e6:,.1f} M",
            "in the store" if row["built"] else "to be trained",
        )
    Console().print(table)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(forecast)
