"""`ingot attribute` on a small index: documents, what was left out, not found, what is no text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.attributing import NoTextError, open_attributor
from flows.cli.main import app
from tests.tasks.stages.test_index_stage import ONE, TWIN, TWO, UNUSED, indexed

BORROWED = TWO[3]["text"]
LEFT_OUT = UNUSED[0]["text"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("attribute")
    indexed(root, [ONE, [*TWO, TWIN, *UNUSED]])
    return root / "home"


def attribute(home: Path, *arguments: str, stdin: str = "") -> str:
    command = ["attribute", *arguments, "--recipe", "test"]
    ended = CliRunner().invoke(app, command, input=stdin, env={"INGOT_HOME": str(home)})
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_documents_are_named_with_address_passage_and_the_next_step(home: Path) -> None:
    said = attribute(home, f"I once read: {BORROWED} So there.")
    assert "stands word for word in what was trained on" in said
    assert TWO[3]["doc_id"] in said
    assert TWO[3]["url"] in said
    assert "ingot trace DOC_ID --recipe test" in said


def test_json_has_all_of_it_from_standard_input(home: Path) -> None:
    found = json.loads(attribute(home, "--file", "-", "--json", stdin=BORROWED))
    assert found["covered"] > 0.95
    named = {source["row"]["doc_id"] for span in found["spans"] for source in span["sources"]}
    assert TWO[3]["doc_id"] in named


def test_what_was_seen_and_left_out_is_said_with_the_reason(home: Path) -> None:
    said = attribute(home, LEFT_OUT)
    assert "seen, but not trained on:" in said
    assert "left out by pack: mixture" in said or "left out by dedup: held_out" in said
    assert UNUSED[0]["doc_id"] in said


def test_not_found_is_said_plainly(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.")
    said = attribute(home, "--file", str(file))
    assert said.startswith("not found in what was trained on; 0.0 MB were searched")
    for arguments in ((), ("a", "--file", str(file)), ("--file", str(tmp_path / "none"))):
        with pytest.raises(NoTextError, match="--file"):
            attribute(home, *arguments)


def test_a_server_gets_passports_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INGOT_HOME", str(home))
    attributor = open_attributor("test", "latest")
    assert attributor is not None
    assert attributor.attribute(BORROWED).spans
    rows = attributor.passport(TWO[3]["doc_id"])
    assert {row["stage"] for row in rows} >= {"clean", "dedup", "pack", "index"}
    json.dumps(rows)
    monkeypatch.setenv("INGOT_HOME", str(home / "empty"))
    assert open_attributor("test", "latest") is None
