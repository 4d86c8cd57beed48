"""The gate before money, at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated

import typer

from flows.cli.tables import print_rows
from tasks.approval_limits import Limits
from tasks.engine.run.plan import Planner, Row
from tasks.engine.store.artifact import Artifact

ApproveAbove = Annotated[
    str,
    typer.Option(
        "--approve-above",
        metavar="LIMIT",
        help="Ask before anything runs if it would take more: 2h, gpu, money and the price of a "
        "device and hour (40 at 2.5), always, or several with commas between.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Answer yes where approval is asked for.")]


def require_approval(
    planner: Planner,
    rows: Sequence[Row],
    limits: Limits,
    yes: bool,
    tell: bool,
    like: Mapping[str, Artifact] = MappingProxyType({}),
) -> None:
    """Ask on the terminal where a plan takes more than it may.

    Args:
        yes: the answer, given beforehand.
        tell: print what it would take also where the answer is there.
        like: see `tasks.approval.expected`.

    Raises:
        NotApprovedError: the answer is no, or there is no terminal to ask on.
    """
    from tasks import approval, forecasting  # most runs are not asked about, and it takes numpy

    forecast = forecasting.of_plan(planner, rows)
    stages = approval.expected(planner, rows, limits, forecast, like)
    objections = approval.objections(limits, stages)
    if not objections:
        return
    said = "; ".join(objections)
    if tell:
        print_rows(approval.rows_of(limits, stages), ["time"])
        print(f"to be approved: {said}")
    if yes:
        return
    if not sys.stdin.isatty():
        raise approval.NotApprovedError(
            f"{said}, and there is no terminal to ask on: nothing was run. --yes approves it"
        )
    if not typer.confirm("Run it?", err=True):
        raise approval.NotApprovedError(f"not approved, so nothing was run ({said})")
