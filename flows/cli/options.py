"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Recipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        "-r",
        envvar="INGOT_RECIPE",
        help="Name of a shipped recipe, or path of a YAML file.",
    ),
]
Changes = Annotated[
    list[str],
    typer.Option("--set", help="Override a field: stage.field=value. May be repeated."),
]
Only = Annotated[list[str], typer.Option("--only", help="Run only these stages.")]
Start = Annotated[list[str], typer.Option("--from", help="Run these stages and all that follow.")]
Force = Annotated[
    list[str], typer.Option("--force", help="Rebuild these stages even if they are fresh.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
