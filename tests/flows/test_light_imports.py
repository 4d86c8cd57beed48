"""What a command needs not is not imported: planning starts at once, and shows what is fresh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.planning import planner_for
from tasks.engine.run.build import build
from tasks.engine.store.store import Store
from tasks.recipe import load
from tests.flows.pages import write_page, write_recipe

HEAVY = {
    "torch",
    "pandas",
    "transformers",
    "trl",
    "datasets",
    "accelerate",
    "scipy",
    "sklearn",
    "sympy",
    "networkx",
    "matplotlib",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "tokenizers",
    "safetensors",
    "fasttext",
    "resiliparse",
    "trafilatura",
    "lxml",
    "prefect",
    "httpx",
    "httpcore",
    "huggingface_hub",
    "s3fs",
    "warcio",
    "protego",
    "sqlalchemy",
    "fastapi",
}

# What only other commands need.
OTHER_COMMANDS = {"flows.cli.chatting", "flows.experiment_plan"}

_RUN = """
import json, sys
from flows.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted(sys.modules)))
"""


def imported(*words: str, **environment: str) -> set[str]:
    """All modules a command has imported by its end."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture
def built(tmp_path: Path) -> dict[str, str]:
    """A recipe, a home in which all of it is fresh, and a document in it."""
    write_page(tmp_path / "pages", "Severn.html", "Severn")
    write_page(tmp_path / "pages", "Wye.html", "Wye")
    recipe = write_recipe(tmp_path / "mine.yaml", tmp_path / "pages")
    home = str(tmp_path / "home")
    done = build(planner_for(load(recipe), recipe, Store(home)))
    document = done["clean"].artifact.data("documents").table(["doc_id"])["doc_id"][0].as_py()
    return {"recipe": recipe, "home": home, "document": document}


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "plan -r {recipe}",
        "run -r {recipe} --dry-run",
        "why dedup -r {recipe}",
        "removed dedup -r {recipe}",
        "trace {document} -r {recipe}",
        "diff clean dedup -r {recipe}",
        "verify --deep",
        "gc",
        "plan -r quickstart",
        "plan -r site",
    ],
)
def test_questions_import_nothing_heavy(built: dict[str, str], words: str) -> None:
    found = imported(*words.format(**built).split(), INGOT_HOME=built["home"])
    assert "flows.planning" in found
    assert not found & HEAVY
    if words.startswith("plan"):
        assert not found & OTHER_COMMANDS


_PANELS = """
import json, sys
from flows.home import open_store
from flows.planning import planner
from tasks.engine.store.views import kept_view
from tasks.panels.markdown import markdown
found = planner(sys.argv[1]).plan()
for row in found:
    assert [markdown(panel, None) for panel in kept_view(row.artifact).panels]
print(json.dumps(sorted(sys.modules)))
"""


def test_panels_are_drawn_without_pandas(built: dict[str, str]) -> None:
    """A run in which all is fresh draws them all."""
    done = subprocess.run(
        [sys.executable, "-c", _PANELS, built["recipe"]],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "INGOT_HOME": built["home"]},
    )
    assert done.returncode == 0, done.stderr
    found = set(json.loads(done.stdout.splitlines()[-1]))
    assert not found & (HEAVY - {"httpx", "prefect"})


WORK = {
    "pyarrow.compute",
    "yaml",
    "jinja2",
    "importlib.metadata",
    "llm.corpus.clean.pages",
    "tasks.engine.run.execute",
}


def test_to_know_the_stages_is_to_import_no_work() -> None:
    program = "import json, sys, tasks.registry; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    found = set(json.loads(done.stdout))
    assert "tasks.stages.filter" in found
    assert not found & (HEAVY | WORK)
