"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Recipe = Annotated[
    str,
    typer.Option("--recipe", "-r", envvar="INGOT_RECIPE", help="A shipped recipe or a YAML file."),
]
Changes = Annotated[
    list[str],
    typer.Option("--set", help="Change a field: stage.field=value. May be repeated."),
]
Only = Annotated[list[str], typer.Option("--only", help="These stages alone.")]
Start = Annotated[list[str], typer.Option("--from", help="These stages and all after them.")]
Force = Annotated[list[str], typer.Option("--force", help="Make these anew though fresh.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
