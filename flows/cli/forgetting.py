"""`ingot forget`: what holds pages, and taking these out, with a certificate."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from flows.cli.options import AsJson, Recipe
from flows.cli.running import build_planned, row_record, show_plan
from flows.cli.tables import console
from flows.home import open_store
from flows.planning import plan_of_removal, planner
from tasks.forget import tombstones, words
from tasks.forget.removal import Removal, data_stages, issue, look_up, write_tombstones
from tasks.machine import require_devices
from tasks.panels.panels import Table
from tasks.recipe import recipe_name

_SHOWN = 20


def forget(
    pages: Annotated[
        list[str], typer.Argument(help="URLs, domains, doc_ids, or CSV files of them.")
    ],
    recipe: Recipe = "quickstart",
    near_duplicates: Annotated[
        bool,
        typer.Option(
            "--near-duplicates", help="Also documents that are mostly the words of these pages."
        ),
    ] = False,
    note: Annotated[
        str, typer.Option(help="Kept in the list beside each entry: who asked, or why.")
    ] = "",
    apply: Annotated[
        bool,
        typer.Option(
            "--apply", help="Take them out: write the list, rebuild the data, check, certify."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what a rebuild would run; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say which artifacts and models hold pages; with --apply take these out, with proof."""
    store, name = open_store(), recipe_name(recipe)
    began = time.monotonic()
    found = look_up(store, name, pages, near_duplicates, texts=apply and not dry_run)
    seconds = time.monotonic() - began
    if not as_json:
        _show(found, seconds)
    if dry_run:
        rows = plan_of_removal(recipe, store, found.entries)
        if as_json:
            print(json.dumps([row_record(row) for row in rows], indent=1))
        else:
            show_plan([row for row in rows if row.runs is not False])
        return
    if not apply:
        if as_json:
            print(json.dumps(_record(found), indent=1))
        elif found.held.pages:
            print("nothing was changed; --dry-run shows what a rebuild runs, --apply does it")
        return
    new = write_tombstones(store, found, note)
    if not as_json:
        print(f"{store.full(tombstones.FILE)}: {new} new of {len(found.entries)} entries")
    only = data_stages(planner(recipe).chain)
    planned = planner(recipe, only=only)
    require_devices(planned.configs, [row.stage for row in planned.plan() if row.runs is not False])
    done = build_planned((recipe, [], only, [], []), planned, quiet=as_json)
    rebuilt = [outcome.artifact for outcome in done.outcomes]
    certificate, path = issue(store, name, found, rebuilt)
    if as_json:
        print(certificate.model_dump_json(indent=1))
        return
    for panel in words.certificate_panels(certificate)[1:4]:
        _print(panel)
    print(f"{words.verdict(certificate)}\ncertificate: {path}")
    if not certificate.holds:
        print("the removal does not hold yet: the texts above still have words of the pages")


def _record(found: Removal) -> dict[str, object]:
    return {
        "documents": found.held.documents,
        "pages": [vars(page) for page in found.held.pages],
        "near_duplicates": [
            {"doc_id": doc_id, "url": url, "share": share} for doc_id, url, share in found.near
        ],
        "artifacts": [
            {
                "artifact": holder.name,
                "rows": dict(holder.rows),
                "mentions": dict(holder.mentions),
                "learned": holder.learned,
                "model": holder.is_model,
                "in_force": list(holder.in_force),
            }
            for holder in found.held.holders
        ],
    }


def _show(found: Removal, seconds: float) -> None:
    if found.held.pages:
        for panel in words.found_panels(found.held):
            _print(panel)
    if found.near:
        rows = [[url or doc_id, round(share, 3)] for doc_id, url, share in found.near]
        _print(Table("Near-duplicates that go too", ["url", "share of it"], rows))
    print(f"{words.found_in_words(found.held)} ({seconds:.2f} s)")


def _print(panel: object) -> None:
    if not isinstance(panel, Table) or not panel.rows:
        return
    from rich import table as drawn

    shown = drawn.Table(title=panel.title, title_justify="left", box=None, pad_edge=False)
    for column in panel.columns:
        shown.add_column(column)
    for row in panel.rows[:_SHOWN]:
        shown.add_row(*("" if cell is None else str(cell) for cell in row))
    console().print(shown)
    if len(panel.rows) > _SHOWN:
        print(f"{len(panel.rows) - _SHOWN:,} more; --json lists them")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(forget)
