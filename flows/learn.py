"""A corpus has grown: the model in use goes on learning, and what becomes of it takes its place
only if it is better."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from prefect import flow
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from flows import publish
from flows.approval import APPROVE_ABOVE, ask
from flows.learn_plan import Question, question
from flows.planning import RECIPE
from flows.running import preview, run, shown_run
from tasks.comparison import comparing
from tasks.learn_section import LearnConfig
from tasks.learning import words
from tasks.learning.verdict import Verdict, promote, too_little, verdict

# Of a run that its caller, in this process, has planned already, and had approved.
ASKED: ContextVar[Question | None] = ContextVar("asked", default=None)
# What the last run of this process came to; none where there was nothing new.
LAST: list[Verdict] = []


@flow(name="learn")
def learn(
    config: LearnConfig | None = Field(
        None, description="How it goes on; fields left as they are come from the recipe."
    ),
    recipe: str = Field("quickstart", description=RECIPE),
    changes: list[str] = Field(
        [],
        description="Other fields to change for this run, one an entry: stage.field=value, such as "
        "pretrain.learning_rate=0.001.",
    ),
    approve_above: str = Field("", description=APPROVE_ABOVE),
    dry_run: bool = Field(
        False, description="Find out what is new, publish the plan and stop; nothing is trained."
    ),
) -> State[Any]:
    """Go on training the model in use on a corpus that has grown; promote it if it is better."""
    LAST.clear()
    with shown_run() as overview:
        planned = ASKED.get()
        asked = planned or question(recipe, changes, config)
        said = words.in_words(asked.challenge)
        publish.learning(words.panels(asked.challenge), said)
        if not asked.challenge.is_grown:
            return _nothing_new(said)
        [chosen] = run(asked.choice(), recipe, here=True, overview=overview)
        left = too_little(asked.challenge, chosen.artifact)
        if left:
            return _nothing_new(left)
        plan = asked.whole()
        rows = preview(plan)
        if dry_run:
            return Completed(message="planned; nothing was trained", data=[])
        if planned is None:
            limit = approve_above or asked.challenge.recipe.approve_above
            declined = ask(plan, rows, limit, asked.challenge.champion)
            if declined is not None:
                return declined
        run(plan, recipe, here=True, overview=overview, before=[chosen])
        found = verdict(asked.challenge, plan.artifacts)
        LAST.append(found)
        publish.comparison(found.comparison)
        if found.promoted:
            promote(asked.challenge, plan.artifacts)
    get_run_logger().info("%s", found.in_words)
    return Completed(
        name="Promoted" if found.promoted else "NotBetter",
        message=found.in_words,
        data=comparing.as_record(found.comparison),
    )


def _nothing_new(why: str) -> State[Any]:
    get_run_logger().info("nothing new: %s", why)
    return Completed(name="NothingNew", message=why)
