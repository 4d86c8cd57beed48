"""Taking pages out of a recipe's data, as a flow: the certificate is an artifact of the run."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from flows import publish
from flows.home import open_store
from flows.planning import RECIPE, plan_of_removal, planner
from flows.running import preview, run, shown_run
from tasks.forget import words
from tasks.forget.removal import data_stages, issue, look_up, write_tombstones
from tasks.recipe import recipe_name


@flow(name="forget")
def forget(
    pages: list[str] = Field([], description="URLs, domains, doc_ids, or CSV files of them."),
    recipe: str = Field("quickstart", description=RECIPE),
    near_duplicates: bool = Field(
        False, description="Also documents that are mostly the words of these pages."
    ),
    note: str = Field("", description="Kept in the list beside each entry: who asked, or why."),
    dry_run: bool = Field(
        True, description="Say what holds the pages and what a rebuild would run; change nothing."
    ),
) -> State[dict[str, Any]]:
    """Say which artifacts and models hold pages, and take these out of the data, with proof."""
    with shown_run() as overview:
        store, name, log = open_store(), recipe_name(recipe), get_run_logger()
        found = look_up(store, name, pages, near_duplicates, texts=not dry_run)
        said = words.found_in_words(found.held)
        log.info("%s", said)
        publish.removal(words.found_panels(found.held), said)
        if dry_run:
            publish.plan(plan_of_removal(recipe, store, found.entries))
            return Completed(message=f"{said}; nothing was changed", data={})
        write_tombstones(store, found, note)
        plan = planner(recipe, only=data_stages(planner(recipe).chain))
        preview(plan)
        rebuilt = [outcome.artifact for outcome in run(plan, recipe, overview=overview)]
        certificate, path = issue(store, name, found, rebuilt)
        log.info("certificate: %s", path)
        said = words.verdict(certificate)
        publish.removal(words.certificate_panels(certificate), said)
    return Completed(message=said, data=certificate.model_dump(mode="json"))
