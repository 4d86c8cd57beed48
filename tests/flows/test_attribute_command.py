"""`ingot attribute` on a small index: documents, what was left out, not found, what is no text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.attributing import NoTextError, open_attributor
from flows.cli.main import application
from tests.tasks.documents_stage import rows
from tests.tasks.stages.test_index_stage import ONE, TWIN, TWO, UNUSED, indexed

LEFT_OUT = UNUSED[0]["text"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attribute")


@pytest.fixture(scope="module")
def home(root: Path) -> Path:
    return root / "home"


@pytest.fixture(scope="module")
def borrowed(root: Path) -> dict[str, Any]:
    """A document that is trained on; builds the index."""
    done = indexed(root, [ONE, [*TWO, TWIN, *UNUSED]])
    trained = {row["doc_id"] for row in rows(done, "index", "trained")}
    return max((row for row in TWO if row["doc_id"] in trained), key=lambda row: len(row["text"]))


def attribute(home: Path, *arguments: str, stdin: str = "") -> str:
    command = ["attribute", *arguments, "--recipe", "test"]
    ended = CliRunner().invoke(application(), command, input=stdin, env={"INGOT_HOME": str(home)})
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_documents_are_named_with_address_passage_and_the_next_step(
    home: Path, borrowed: dict[str, Any]
) -> None:
    said = attribute(home, f"I once read: {borrowed['text']} So there.")
    assert "stands word for word in what was trained on" in said
    assert borrowed["doc_id"] in said
    assert borrowed["url"] in said
    assert "ingot trace DOC_ID --recipe test" in said


def test_what_a_text_says_again_is_shown_once(home: Path, borrowed: dict[str, Any]) -> None:
    said = attribute(home, "--file", "-", stdin=f"{borrowed['text']}\n\nNo.\n\n" * 3)
    assert said.count(borrowed["doc_id"]) < 3
    assert "3 times in the text" in said


def test_a_text_too_long_is_refused(home: Path) -> None:
    with pytest.raises(NoTextError, match="1,000,001 characters, and 1,000,000 are"):
        attribute(home, "--file", "-", stdin="x" * 1_000_001)


def test_json_has_all_of_it_from_standard_input(home: Path, borrowed: dict[str, Any]) -> None:
    found = json.loads(attribute(home, "--file", "-", "--json", stdin=borrowed["text"]))
    assert found["covered"] > 0.95
    named = {source["row"]["doc_id"] for span in found["spans"] for source in span["sources"]}
    assert borrowed["doc_id"] in named


@pytest.mark.usefixtures("borrowed")
def test_what_was_seen_and_left_out_is_said_with_the_reason(home: Path) -> None:
    said = attribute(home, LEFT_OUT)
    assert "seen, but not trained on:" in said
    assert "left out by pack: mixture" in said or "left out by dedup: held_out" in said
    assert UNUSED[0]["doc_id"] in said


@pytest.mark.usefixtures("borrowed")
def test_not_found_is_said_plainly(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.")
    said = attribute(home, "--file", str(file))
    assert said.startswith("not found in what was trained on; 0.0")
    assert "fewer than 8 tokens\n--min-tokens and --most-places show more" in said
    for arguments in ((), ("a", "--file", str(file)), ("--file", str(tmp_path / "none"))):
        with pytest.raises(NoTextError, match="--file"):
            attribute(home, *arguments)


def test_a_server_gets_passports_too(
    home: Path, borrowed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_HOME", str(home))
    attributor = open_attributor("test", "latest")
    assert attributor is not None
    assert attributor.attribute(borrowed["text"]).spans
    passport = attributor.passport(borrowed["doc_id"])
    assert {row["stage"] for row in passport} >= {"clean", "dedup", "pack", "index"}
    json.dumps(passport)
    monkeypatch.setenv("INGOT_HOME", str(home / "empty"))
    assert open_attributor("test", "latest") is None
