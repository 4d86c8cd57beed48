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
from tasks.forget.certificate import Certificate
from tasks.forget.removal import TRY_TRACE, data_stages, issue, look_up, write_tombstones
from tasks.recipe import recipe_name

PAGES = (
    "At least one: a URL, a domain (with all below it), a doc_id, or a CSV file of them (relative "
    "to INGOT_ROOT)."
)


@flow(name="forget")
def forget(
    pages: list[str] = Field(description=PAGES, min_length=1),
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
        publish.found_pages(words.found_panels(found.held), said)
        if not found.held.pages:  # of a dry run: to take out what is not there is an error
            return Completed(name="NotFound", message=f"{said}; {TRY_TRACE}", data={})
        if dry_run:
            publish.plan(plan_of_removal(recipe, store, found.entries))
            return Completed(message=f"{said}; nothing was changed", data={})
        write_tombstones(store, found, note)
        plan = planner(recipe, only=data_stages(planner(recipe).chain))
        preview(plan)
        rebuilt = [outcome.artifact for outcome in run(plan, recipe, overview=overview)]
        certificate, path = issue(store, name, found, rebuilt)
        log.info("certificate: %s", path)
        publish.certificate(words.document(certificate), words.verdict(certificate), path)
    return _ended(certificate)


def _ended(certificate: Certificate) -> State[dict[str, Any]]:
    said, record = words.verdict(certificate), certificate.model_dump(mode="json")
    if certificate.holds:
        return Completed(message=said, data=record)
    return Completed(name="StillThere", message=said, data=record)
