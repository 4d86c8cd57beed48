"""The gate before money: a run that takes more than it may shows what it would take, and waits.

A run of a deployment is suspended: its process ends, its turn is free, and the answer in its form
starts it again, in a worker. One that has none, called in this process, waits where it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from prefect import pause_flow_run, suspend_flow_run
from prefect.exceptions import FlowPauseTimeout
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import deployment
from prefect.states import Cancelled, State
from pydantic import Field

from flows import publish
from tasks import approval, forecasting
from tasks.approval import NotApprovedError
from tasks.approval_limits import limits_of
from tasks.engine.run.plan import Planner, Row
from tasks.engine.store.artifact import Artifact
from tasks.panels.markdown import inline, markdown
from tasks.panels.numbers import duration
from tasks.panels.panels import Table

# What forms say of the parameter that several flows share.
APPROVE_ABOVE = (
    "Ask before anything runs if it would take more than this: 2h, gpu, money and the price of a "
    "device and hour (40 at 2.5), always, or several with commas between. Empty = as the recipe "
    "says."
)
# How long an answer is waited for; then the run ends as Failed, having run nothing.
WAIT_SECONDS = 24 * 3600
_POLL_SECONDS = 5


class Approval(RunInput):
    """The answer."""

    approve: bool = Field(description="Whether the run may go on.")
    by: str = Field(description="Who says so.", min_length=1)
    why: str = Field("", description="Why, or why not.")


def ask(
    plan: Planner,
    rows: Sequence[Row],
    approve_above: str,
    like: Mapping[str, Artifact] = MappingProxyType({}),
) -> State[None] | None:
    """Wait for a yes where a plan takes more than it may.

    Args:
        rows: of the plan, which the run has shown.
        like: see `tasks.approval.expected`.

    Returns:
        How the run ends if it may not go on; `None` if it may.

    Raises:
        LimitError: the limit cannot be read.
        NotApprovedError: nobody answered.
    """
    limits = limits_of(approve_above)
    if limits is None:
        return None
    stages = approval.expected(plan, rows, limits, forecasting.of_plan(plan, rows), like)
    objections = approval.objections(limits, stages)
    if not objections:
        return None
    said = "; ".join(objections)
    table = approval.rows_of(limits, stages)
    publish.approval(said, table)
    log = get_run_logger()
    log.info("waits %s for an approval: %s", duration(WAIT_SECONDS), said)
    shown = markdown(
        Table("What it would take", list(table[0]), [[*row.values()] for row in table])
    )
    form = Approval.with_initial_data(description=f"Approve? {inline(said)}.\n\n{shown}")
    try:
        if deployment.id is not None:
            answer = suspend_flow_run(form, timeout=WAIT_SECONDS, key=_key(rows))
        else:
            answer = pause_flow_run(form, WAIT_SECONDS, _POLL_SECONDS, _key(rows))
    except FlowPauseTimeout as error:
        raise NotApprovedError(
            f"nobody answered for {duration(WAIT_SECONDS)}, so nothing was run ({said}); run again "
            "to be asked again"
        ) from error
    told = f"by {answer.by}" + (f": {answer.why}" if answer.why else "")
    if answer.approve:
        log.info("approved %s", told)
        return None
    return Cancelled(name="Declined", message=f"declined {told}; nothing was run ({said})")


def _key(rows: Sequence[Row]) -> str:
    """Of one question: what was approved is this plan. Another is asked about anew."""
    plan = [[row.stage, row.status.value, row.reasons] for row in rows if row.runs is not False]
    return hashlib.sha256(json.dumps(plan).encode()).hexdigest()[:16]
