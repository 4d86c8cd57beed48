"""`ingot generate`: prompts from anywhere, answers as text or JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.generating import PromptError
from flows.cli.main import application
from llm.model.folder import load
from llm.model.generation import generate
from llm.model.sampling import SamplingError
from llm.serving.served_model import PromptLengthError
from llm.tokens.chat import ChatEncoder
from llm.tokens.special_tokens import TURN_END
from tasks.engine.errors import RecipeError
from tests.llm.evaluation.tiny_models import model_folder, tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model") / "sft", tiny_model(256), TURN_END)


def run(folder: Path, *arguments: str, typed: bytes = b"") -> str:
    command = ["generate", "--model", f"tiny={folder}", *arguments]
    result = CliRunner().invoke(application(), command, input=typed, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def expected(folder: Path, text: str, new_tokens: int, chat: bool = False) -> str:
    encoder, model = ChatEncoder(folder), load(folder)
    turns = [{"role": "user", "content": text}]
    ids = encoder.prompt(turns) if chat else encoder.text(text)
    [answer] = generate(model, [ids], new_tokens, encoder.stops)
    return encoder.decode(answer)


def test_one_prompt_is_told_as_text(folder: Path) -> None:
    text = run(folder, "def main", "--text", "--new-tokens", "12")
    assert text == expected(folder, "def main", 12) + "\n"
    assert run(folder, "--text", "--new-tokens", "12", typed=b"def main\n") == text
    assert run(folder, "hi", "--new-tokens", "5") == expected(folder, "hi", 5, chat=True) + "\n"


def test_many_prompts_are_lines_of_json_in_order(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("one\n\ntwo words\n", encoding="utf-8")
    printed = run(
        folder,
        *("--text", "--lines", "--file", str(tmp_path / "lines.txt"), "-", "--json", "-n", "2"),
        *("--new-tokens", "6", "--temperature", "0.9", "--seed", "3"),
        typed="three\u2028still three\nfour\n".encode(),
    )
    records = [json.loads(line) for line in printed.split("\n") if line]
    asked = ["one", "two words", "three\u2028still three", "four"]
    assert [record["prompt"] for record in records] == [text for text in asked for _ in range(2)]
    assert [record["index"] for record in records] == [0, 1] * 4
    assert records[0]["text"] != records[1]["text"]
    assert {record["model"] for record in records} == {"tiny"}
    assert all(record["tokens"] <= 6 for record in records)
    alone = run(
        folder,
        *("one", "--text", "--json", "-n", "2", "--new-tokens", "6"),
        *("--temperature", "0.9", "--seed", "3"),
    )
    assert [json.loads(line) for line in alone.split("\n") if line] == records[:2]


def test_answers_end_before_a_stop_text(folder: Path) -> None:
    whole = expected(folder, "class", 30)
    stop = whole[9:12]
    printed = run(folder, "class", "--text", "--new-tokens", "30", "--stop", stop, "--json")
    record = json.loads(printed)
    assert record["text"] == whole[: whole.index(stop)]
    assert record["ended"] == "stop"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--file", "nowhere.txt"], PromptError, "nowhere.txt: No such file"),
        (["x", "--repetition-penalty", "0"], SamplingError, "repetition_penalty 0.0"),
        (["word " * 300, "--text"], PromptLengthError, "leave room for an answer"),
        ([""], PromptError, "there is no prompt"),
    ],
)
def test_what_cannot_be(
    folder: Path, arguments: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(folder, *arguments)


def test_bytes_that_are_no_text(folder: Path) -> None:
    with pytest.raises(PromptError, match="not UTF-8 at byte 3"):
        run(folder, typed="café".encode("latin-1"))


def test_a_precision_that_is_none(folder: Path) -> None:
    command = ["generate", "--model", str(folder), "x", "--precision", "fp8"]
    result = CliRunner().invoke(application(), command)
    assert result.exit_code == 2
    assert "fp8" in result.output


def test_a_recipe_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path))
    command = ["generate", "x", "--recipe", "nosuch"]
    with pytest.raises(RecipeError, match="nosuch"):
        CliRunner().invoke(application(), command, catch_exceptions=False)
