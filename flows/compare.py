"""Models compared, as a flow: the table is an artifact of the run."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from flows import publish
from flows.home import open_store
from flows.planning import RECIPE
from flows.running import built_alone, shown_run
from tasks.comparison import comparing
from tasks.contenders.by_name import NAMES, PROD, contenders


@flow(name="compare")
def compare(
    recipe: str = Field("quickstart", description=RECIPE),
    models: list[str] = Field(
        [],
        description="Models to compare, the first with each of the others; each is "
        f"{NAMES}. None: what the recipe was promoted to as {PROD}, with what it built last.",
    ),
    measures: list[str] = Field(
        [], description="Measures to compare by; none = all that the models share."
    ),
    shared_items: bool = Field(
        False,
        description="Where two models were measured on different items, go by those they share.",
    ),
) -> State[dict[str, Any]]:
    """Say which model is better, by how much and how surely."""
    with shown_run():
        chosen = contenders(open_store(), models or [f"{recipe}@{PROD}", recipe], built_alone)
        found = comparing.compare(chosen, measures, shared_items)
        publish.comparison(found)
    said = comparing.in_words(found)
    get_run_logger().info("%s", said)
    return Completed(message=said, data=comparing.as_record(found))
