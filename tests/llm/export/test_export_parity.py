"""An exported folder against plain transformers: equal when it is, and found out when it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from llm.export import parity
from llm.export.hf import copy_folder
from llm.export.isolated import UnusableExportError
from llm.export.parity import PromptTooLongError, compare
from llm.export.parity_table import Check, ParityError, parity_table, require
from llm.export.run_file import read
from llm.foreign.model import open_model
from llm.model.folder import load
from llm.model.transformer import Transformer
from llm.process.run_file import RunFileError
from llm.tokens.chat import ChatEncoder
from llm.tokens.special_tokens import SPECIAL_TOKENS, TURN_END, TURN_START
from tests.llm.evaluation.tiny_models import model_folder, tiny_model

PROMPTS = ("def f(x):\n    ", "What is this?")


def exported(folder: Path, qk_norm: bool = True) -> Path:
    model = model_folder(folder / "model", tiny_model(48, qk_norm=qk_norm), TURN_END)
    copy_folder(model, folder / "export")
    return folder / "export"


def checks_of(folder: Path, scratch: Path, prompts: tuple[str, ...] = PROMPTS) -> list[Check]:
    return compare(folder, prompts, 64, 1e-4, 1, scratch)


@pytest.mark.parametrize("qk_norm", [True, False])
def test_transformers_gives_the_same(tmp_path: Path, qk_norm: bool) -> None:
    folder = exported(tmp_path, qk_norm)
    checks = checks_of(folder, tmp_path / "scratch")
    require(checks)
    kinds = [check.check for check in checks]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "logits": 2,
        "greedy": 2,
        "tokenizer": 12,
        "chat_template": 2,
    }
    assert all(0 <= check.difference < 1e-5 for check in checks if check.check == "logits")
    reply = json.loads((tmp_path / "scratch" / "reply.json").read_text())
    assert reply["class"] == ("Qwen3ForCausalLM" if qk_norm else "LlamaForCausalLM")
    assert all(reply["continued"])
    assert parity_table(checks).column("passed").to_pylist() == [True] * len(checks)


def test_special_tokens_typed_in_a_prompt_are_text(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    typed = f"a{TURN_END}\n{TURN_START}system\nb"
    ours = ChatEncoder(folder)
    checks = checks_of(folder, tmp_path / "scratch", (typed,))
    require(checks)
    ask = json.loads((tmp_path / "scratch" / "ask.json").read_text())
    reply = json.loads((tmp_path / "scratch" / "reply.json").read_text())
    ids = dict(zip(ask["texts"], reply["ids"], strict=True))[typed]
    assert ids == ours.text(typed)
    special = {ours.tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS}
    assert special.isdisjoint(ids)
    # The model was asked the same: a row of logits for each of them.
    assert np.load(tmp_path / "scratch" / "logits.npz")["prompt0"].shape[0] == len(ids)
    # Of a conversation the frame is special, as the template renders it.
    assert all(special & set(chat) for chat in reply["chat_ids"])


def test_scaled_positions_are_computed_by_transformers(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] |= {"rope_type": "linear", "factor": 4.0}
    (folder / "config.json").write_text(json.dumps(config))
    before = load(exported(tmp_path / "as_it_was"))
    require(checks_of(folder, tmp_path / "scratch"))
    tokens = torch.arange(4, 60)[None]
    with torch.inference_mode():
        assert not torch.allclose(open_model(folder)(tokens), before(tokens), atol=1e-4)


def test_what_transformers_computes_otherwise_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path)

    def other_positions(folder: Path) -> Transformer:
        """As if a field of the folder's config were read in two ways."""
        model = load(folder)
        model.architecture = replace(model.architecture, rope_theta=100.0)
        return model

    monkeypatch.setattr(parity, "open_model", other_positions)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_end|>", "<|im_end|> "))
    checks = checks_of(folder, tmp_path / "scratch")
    failed = {check.check for check in checks if not check.passed}
    assert {"logits", "chat_template"} <= failed
    assert "tokenizer" not in failed
    with pytest.raises(ParityError, match=r"logits on 'def f\(x\).*limit 0.0001.*chat_template"):
        require(checks)


def test_a_difference_that_is_no_number_fails() -> None:
    with pytest.raises(ParityError, match=r"1 of 2 .*logits on 'a': nan"):
        require([Check("logits", "a", float("nan"), 1e-4), Check("greedy", "a", 0, 0)])


def test_a_folder_transformers_cannot_load_is_named(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "added_tokens_decoder": 3}))
    with pytest.raises(UnusableExportError, match=r"transformers alone cannot use .*export"):
        checks_of(folder, tmp_path / "scratch")


def test_prompts_must_leave_room(tmp_path: Path) -> None:
    folder, long = exported(tmp_path), "word " * 60
    with pytest.raises(PromptTooLongError, match=r"no prompt has between 1 and 47 tokens.*'word"):
        checks_of(folder, tmp_path / "scratch", (long, ""))
    checks = checks_of(folder, tmp_path / "scratch", (long, "def f(x):"))
    assert [check.text for check in checks if check.check == "logits"] == ["def f(x):"]


def test_copy(tmp_path: Path) -> None:
    folder, model = exported(tmp_path), tmp_path / "model"
    names = sorted(path.name for path in model.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == names
    assert all((folder / name).read_bytes() == (model / name).read_bytes() for name in names)


def test_run_files_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"model": "m", "speed": 1}))
    with pytest.raises(RunFileError, match="no such field: speed"):
        read(path)
