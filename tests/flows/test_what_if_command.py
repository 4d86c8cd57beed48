"""`ingot what-if` on a recipe that was built, as a person gives it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from flows.cli.main import application
from flows.planning import planner_for
from tasks.engine.run.build import build
from tasks.engine.store.store import Store
from tasks.recipe import load
from tests.tasks.stages.test_filter_stage import text
from tests.test_kill_stages import write_rows


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    write_rows(tmp_path / "texts", "0.jsonl", [text(20 + number, number) for number in range(30)])
    recipe = {
        "name": "river",
        "source": {"workers": 1, "sources": [{"name": "texts", "paths": ["texts"]}]},
        "clean": {"workers": 1},
        "annotate": {"workers": 1},
        "filter": {"workers": 1, "rules": [{"column": "word_count", "minimum": 30}]},
    }
    path = tmp_path / "river.yaml"
    path.write_text(yaml.safe_dump(recipe))
    store = Store(str(tmp_path / "home"))
    build(planner_for(load(str(path)), str(path), store))
    return tmp_path / "home"


def answer(*arguments: str) -> Result:
    return CliRunner().invoke(application(), ["what-if", *arguments, "-r", "river"])


def test_what_is_printed(home: Path) -> None:
    files = sorted(home.rglob("*"))
    told = answer("filter", "--set", "word_count.minimum=40", "--examples", "1")
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0].split() == ["by", "come", "in", "tokens", "go", "tokens"]
    assert lines[1].split() == ["all", "0", "–", "10", "–"]
    [shown] = [number for number, line in enumerate(lines) if line.startswith("- ")]
    assert lines[shown + 1].strip().startswith("word_count: word_count 3")
    assert lines[-2] == "filter would keep 10 documents, not 20: 0 come in, 10 go"
    assert lines[-1].startswith("no experiment has measured what that does")
    record = json.loads(answer("filter", "--set", "word_count=null", "--json").stdout)
    assert (record["kept_before"], record["kept_after"]) == (20, 30)
    assert record["comes"]["reasons"] == {"word_count": 10}
    assert record["expected_bits_per_byte"] is None
    assert sorted(home.rglob("*")) == files, "nothing is written"
