"""What starts the server elsewhere, and the examples of its page, name what is there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from flows.cli.main import application
from llm.process.safe_path import CHECKOUT
from llm.tokens.special_tokens import END_OF_TEXT, TURN_END
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
from tests.llm.serving.api.serving_process import serving

UNIT = CHECKOUT / "deployments" / "systemd" / "ingot-serve.service"
DOCKERFILE = CHECKOUT / "deployments" / "docker" / "Dockerfile"
PAGE = (CHECKOUT / "docs" / "serving.md").read_text(encoding="utf-8")
OPTIONS = {
    option
    for parameter in typer.main.get_command(application()).commands["serve"].params  # type: ignore[attr-defined]
    for option in parameter.opts
}
EXAMPLES = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_unit_starts_what_is_there() -> None:
    text = UNIT.read_text(encoding="utf-8")
    [line] = re.findall(r"^ExecStart=(.*)$", text, flags=re.MULTILINE)
    program, command, *rest = shlex.split(line)
    assert program.endswith("/bin/ingot")
    assert command == "serve"
    assert {word for word in rest if word.startswith("--")} <= OPTIONS
    assert "INGOT_SERVE_TOKEN" in text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    # The program must exist for it, as in an installation.
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text()))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert unit.name not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


def test_the_image_copies_what_is_there_and_starts_it() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    ignored = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").split()
    for line in re.findall(r"^COPY (.*)$", text, flags=re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (CHECKOUT / source).exists(), source
            assert f"!{source}" in ignored
    [words] = re.findall(r"^ENTRYPOINT (.*)$", text, flags=re.MULTILINE)
    program, command, *rest = json.loads(words)
    assert (program, command) == ("ingot", "serve")
    assert {word for word in rest if word.startswith("--")} <= OPTIONS


def test_examples_of_the_page_run_as_they_stand(tmp_path: Path) -> None:
    """But for the port, which another server of this machine may have."""
    assert [kind for kind, _ in EXAMPLES] == ["sh", "python", "sh"]
    base = model_folder(tmp_path / "a" / "base", tiny_model(256, 0), END_OF_TEXT)
    dpo = model_folder(tmp_path / "b" / "dpo", tiny_model(256, 1), TURN_END)
    with serving(tmp_path / "work", "--model", str(base), "--model", str(dpo)) as server:
        printed = []
        for kind, text in EXAMPLES:
            assert "http://127.0.0.1:8000/" in text
            here = text.replace("http://127.0.0.1:8000", server.address)
            command = ["bash", "-c", here] if kind == "sh" else [sys.executable, "-c", here]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
            printed.append(done.stdout)
    chat, streamed, completion = printed
    assert json.loads(chat)["choices"][0]["message"]["content"]
    assert streamed
    [choice] = json.loads(completion)["choices"]
    assert len(choice["logprobs"]["tokens"]) == 32
