"""`ingot chat` in a terminal: commands, and Ctrl-C that stops an answer and not the program."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import application
from llm.tokens.special_tokens import TURN_END
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
from tests.terminal import Terminal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model") / "sft", tiny_model(256), TURN_END)


def test_commands(folder: Path, tmp_path: Path) -> None:
    saved = tmp_path / "talk.jsonl"
    typed = [
        "hello",
        "/system Be brief.",
        "/temperature warm",
        "/temperature -1",
        "/temperature 0.5",
        "and?",
        f"/model again={folder}",
        "still there?",
        f"/save {saved}",
        "word " * 300,
        "/what",
        "/help",
        "/model nowhere",
        "/reset",
        f"/save {saved}",
        "",
        "/quit",
        "never read",
    ]
    command = ["chat", "--model", f"tiny={folder}", "--new-tokens", "8", "--min-p", "0.1"]
    command += ["--repetition-penalty", "1.1", "--precision", "int8"]
    result = CliRunner().invoke(
        application(), command, input="\n".join(typed), catch_exceptions=False
    )
    assert result.exit_code == 0
    for part in (
        "'warm' is no number",
        "temperature -1.0: give a number of 0 or more",
        f"{saved}: 6 turns",
        "send a shorter message",
        "/what is no command; /help lists them",
        "/save FILE",
        "'nowhere' is neither a folder nor one of base, sft, dpo",
        "nothing was said yet",
    ):
        assert part in result.output
    [line] = saved.read_text(encoding="utf-8").splitlines()
    messages = json.loads(line)["messages"]
    assert messages[0] == {"role": "system", "content": "Be brief."}
    assert [one["content"] for one in messages[1::2]] == ["hello", "and?", "still there?"]


def test_ctrl_c_stops_the_answer_and_not_the_program(tmp_path: Path) -> None:
    long_winded = model_folder(tmp_path / "model", tiny_model(16_384), TURN_END)
    program = "from flows.cli.main import main; main()"
    options = ["--model", str(long_winded), "--new-tokens", "8000"]
    terminal = Terminal([sys.executable, "-c", program, "chat", *options], {"OMP_NUM_THREADS": "1"})
    lines = terminal.lines()
    for line in lines:
        if "/help lists" in line:
            break
    # As a person does: Python misses a signal that comes just as it begins to wait for a key.
    time.sleep(1)
    terminal.press_ctrl_c()  # where nothing is said it throws the line away
    next(lines)
    terminal.type_line("hello")
    for line in lines:
        if "hello" in line:
            break
    time.sleep(1)
    terminal.press_ctrl_c()
    for line in lines:
        if "stopped; the turn was not counted" in line:
            break
    terminal.type_line("/save nothing.jsonl")
    for line in lines:
        if "nothing was said yet" in line:
            break
    terminal.type_line("/quit")
    assert terminal.exit_code() == 0, terminal.said
