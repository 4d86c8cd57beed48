"""`ingot learn`: the model in use goes on with a corpus that has grown."""

from __future__ import annotations

import json

import typer

from flows.cli.approving import ApproveAbove, Yes, require_approval
from flows.cli.comparing import show
from flows.cli.importing import all_of_it_stays
from flows.cli.options import AsJson, Changes, Recipe
from flows.cli.running import show_plan
from flows.cli.server_for_run import server_for_run
from flows.learn_plan import question
from tasks.approval_limits import limits_of
from tasks.comparison import comparing
from tasks.engine.errors import IngotError
from tasks.learning import words
from tasks.machine import require_devices


def learn(
    recipe: Recipe = "quickstart",
    changes: Changes = [],  # noqa: B006 - Typer reads the default, nobody writes it
    approve_above: ApproveAbove = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Go on training the promoted model on what its corpus has grown by; promote it if better."""
    asked = question(recipe, changes)
    challenge = asked.challenge
    if not challenge.is_grown:
        _tell_nothing_new(words.in_words(challenge), as_json)
        return
    plan = asked.whole()
    rows = plan.plan()
    if not as_json:
        show_plan(rows)
    require_devices(plan.configs, [row.stage for row in rows if row.runs is not False])
    limits = limits_of(approve_above or challenge.recipe.approve_above)
    if limits is not None:
        require_approval(plan, rows, limits, yes, not as_json, challenge.champion)
    server_for_run(tell=not as_json)
    with all_of_it_stays():
        from flows import learn as flow
        from flows import running
        from flows.cli.terminal import run_watched
        from flows.crashed_runs import report_crashed_runs
        from tasks.learning.verdict import too_little
    report_crashed_runs()
    mark = flow.ASKED.set(asked)
    try:
        run_watched(lambda: flow.learn(recipe=recipe, changes=changes))
    finally:
        flow.ASKED.reset(mark)
    if flow.LAST:
        [found] = flow.LAST
        if as_json:
            record = {"promoted": found.promoted, "said": found.in_words}
            record |= comparing.as_record(found.comparison)
            print(json.dumps(record, indent=1, allow_nan=False))
            return
        show(found.comparison)
        print(found.in_words)
        return
    chosen = [each.artifact for each in running.LAST_RUN.outcomes]
    left = too_little(challenge, chosen[0]) if len(chosen) == 1 else ""
    if not left:
        raise IngotError(
            "the Prefect server went away before the model was compared; run again: what is built "
            "is kept"
        )
    _tell_nothing_new(left, as_json)


def _tell_nothing_new(why: str, as_json: bool) -> None:
    print(json.dumps({"promoted": False, "said": why}) if as_json else f"nothing new: {why}")


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(learn)
