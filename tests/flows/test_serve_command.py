"""`ingot serve`: which models it takes, and what it says where it cannot."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest

from flows.cli.chosen_models import ModelChoiceError, choose_models
from llm.process.safe_path import CHECKOUT
from llm.serving.api.server import AddressError, NoTokenError, address_of, check_token, listen
from llm.tokens.special_tokens import END_OF_TEXT, TURN_END
from tests.flows.command import COMMAND
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
from tests.llm.serving.api.serving_process import serving


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    base = model_folder(tmp_path / "one" / "base", tiny_model(64, 0), END_OF_TEXT)
    return base, model_folder(tmp_path / "two" / "tuned", tiny_model(64, 1), TURN_END)


def test_several_models_answer_side_by_side(folders: tuple[Path, Path], tmp_path: Path) -> None:
    base, tuned = folders
    options = ["--model", str(base), "--model", f"sft={tuned}"]
    with serving(tmp_path / "work", *options) as server:
        models = httpx.get(f"{server.address}/v1/models").json()["data"]
        assert [model["id"] for model in models] == ["base", "sft"]
        answers = [
            httpx.post(
                f"{server.address}/v1/completions",
                json={"model": name, "prompt": "import", "max_tokens": 8, "temperature": 0},
            ).json()
            for name in ("base", "sft")
        ]
        assert answers[0]["choices"][0]["text"] != answers[1]["choices"][0]["text"]
        assert answers[0]["system_fingerprint"] != answers[1]["system_fingerprint"]


def test_names_of_models(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, _ = folders
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    [one] = choose_models([f"mine={base}"], "quickstart", "latest")
    assert (one.name, one.folder, len(one.fingerprint)) == ("mine", base, 16)
    [two] = choose_models([str(base)], "quickstart", "latest")
    assert two.name == "base"
    with pytest.raises(ModelChoiceError, match="two models are called 'base'"):
        choose_models([str(base), f"base={base}"], "quickstart", "latest")
    with pytest.raises(ModelChoiceError, match="neither a folder nor one of base, sft, dpo"):
        choose_models(["x=nowhere"], "quickstart", "latest")
    (tmp_path / "empty").mkdir()
    for wanted in (f"x={tmp_path / 'empty'}", "x="):
        with pytest.raises(ModelChoiceError, match=r"no config\.json, so no model is in it"):
            choose_models([wanted], "quickstart", "latest")


def test_a_port_that_is_taken() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert address_of(taken) == f"http://127.0.0.1:{port}"
        with pytest.raises(AddressError, match=f"port {port} of 127.0.0.1 is taken"):
            listen("127.0.0.1", port)
    with pytest.raises(AddressError, match=r"cannot listen at nowhere\.invalid"):
        listen("nowhere.invalid", 0)


def test_others_are_let_in_with_a_token_alone() -> None:
    check_token("127.0.0.1", None)
    check_token("0.0.0.0", "secret")
    with pytest.raises(NoTokenError, match="INGOT_SERVE_TOKEN"):
        check_token("0.0.0.0", None)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "NoTokenError"),
        (["--model", "nowhere"], "ModelChoiceError"),
        ([], "MissingInputError"),
    ],
)
def test_what_cannot_be_served_is_told_in_a_line(
    options: list[str], told: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [*COMMAND, "serve", "--port", "0", *options],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin", "PYTHONPATH": str(CHECKOUT), "INGOT_HOME": str(tmp_path)},
    )
    assert done.returncode == 1
    assert done.stderr.startswith(told), done.stderr
    assert "Traceback" not in done.stderr
