"""`ingot forget`: what holds pages. It asks the home alone, and so it answers at once; taking them
out is `taking_out.py`."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from flows.cli.options import AsJson, Recipe
from flows.cli.panel_tables import print_panels
from flows.home import open_store
from tasks.forget import words
from tasks.forget.removal import Removal, look_up
from tasks.panels.panels import Table


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
    store, name = open_store(), recipe
    if apply or near_duplicates:
        from tasks.recipe import recipe_name  # not before: a search is done by then

        name = recipe_name(recipe)
    began = time.monotonic()
    found = look_up(store, name, pages, near_duplicates, texts=apply and not dry_run)
    seconds = time.monotonic() - began
    if not as_json:
        _show(found, seconds)
    if apply or dry_run:
        from flows.cli import taking_out

        if dry_run:
            taking_out.show_rebuild(recipe, store, found, _record(found) if as_json else None)
        else:
            taking_out.take_out(recipe, name, store, found, note, as_json)
    elif as_json:
        print(json.dumps(_record(found), indent=1))
    elif found.held.pages:
        print("nothing was changed; --dry-run shows what a rebuild runs, --apply does it")


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
        print_panels(words.found_panels(found.held))
    if found.near:
        rows = [[url or doc_id, round(share, 3)] for doc_id, url, share in found.near]
        print_panels([Table("Near-duplicates that go too", ["url", "share of it"], rows)])
    print(f"{words.found_in_words(found.held)} ({seconds:.2f} s)")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(forget)
