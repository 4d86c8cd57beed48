"""`ingot` as a person gives it: in a folder with a recipe, on a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from llm.process.safe_path import CHECKOUT
from tests.flows.pages import write_page, write_recipe

COMMAND = (sys.executable, "-P", "-c", "from flows.cli.main import main; main()")
RECIPE = "rivers.yaml"


def surroundings(root: Path) -> dict[str, str]:
    """The environment of commands on a home under `root`, where pages and their recipe lie."""
    for topic in ("Severn", "Tweed", "Thames"):
        write_page(root / "pages", f"{topic}.html", topic)
    write_recipe(root / RECIPE, root / "pages")
    # What whoever runs the tests has set is not the test's.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    kept.pop("PYTHONSAFEPATH", None)
    places = {"INGOT_ROOT": str(root), "INGOT_HOME": str(root / "home")}
    return {**kept, "PYTHONPATH": str(CHECKOUT), **places}


def ingot(environment: Mapping[str, str], *arguments: str, seconds: float = 280.0) -> str:
    """What a command prints, given in the folder of the recipe; it must end well."""
    ended = subprocess.run(
        [*COMMAND, *arguments],
        cwd=environment["INGOT_ROOT"],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=dict(environment),
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
