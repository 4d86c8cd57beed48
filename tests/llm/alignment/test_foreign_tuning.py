"""Models of other programs tuned: the same losses as transformers alone, adapters, the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from llm.alignment import reward_model
from llm.alignment.lora import LoraTargetError
from llm.foreign.model import NonFiniteWeightsError, open_model
from llm.model.generation import generate
from llm.process.parent import StoppedError, StopRequest
from llm.tokens.chat import ChatEncoder
from tests.llm.alignment.tiny_run import (
    Listener,
    instructions,
    metrics,
    polite,
    run_to_the_end,
    table,
)
from tests.llm.foreign_models import KINDS, PLAIN, foreign_folder


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of each kind, a template for the one without, rows of either kind."""
    root = tmp_path_factory.mktemp("given")
    for kind in KINDS:
        foreign_folder(kind, root / kind)
    (root / "plain.jinja").write_text(PLAIN)
    instructions(root / "instructions.parquet")
    polite(root / "polite.parquet", 24)
    return root


def tuned(folder: Path, given: Path, kind: str, **changes: Any) -> dict[str, Any]:
    """SFT of a folder of another program's."""
    start = {
        "start_from": str(given / kind),
        "chat_template": str(given / "plain.jinja") if kind == "gpt2" else "",
        "batch_size": 8,
        "learning_rate": 1e-2,
    }
    rows = given / "instructions.parquet"
    return run_to_the_end("sft", folder, (Path(), rows), **(start | changes))


@pytest.fixture(scope="module")
def first(given: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each kind, tuned for an epoch."""
    root = tmp_path_factory.mktemp("tuned")
    for kind in KINDS:
        tuned(root / kind, given, kind)
    return {kind: root / kind for kind in KINDS}


def loss_by_transformers(folder: Path, rows: list[dict[str, Any]]) -> float:
    """Mean over the supervised tokens, each row alone, by nothing but transformers."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row["tokens"]])
        mine = np.array(row["supervised"])[1:]
        with torch.inference_mode():
            logprobs = model(ids).logits[0, :-1].log_softmax(-1)
        total -= float(logprobs[np.arange(len(mine)), ids[0, 1:]][mine].sum())
        count += int(mine.sum())
    return total / count


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_what_is_written_is_the_model(
    given: Path, first: dict[str, Path], kind: str
) -> None:
    counts = json.loads((first[kind] / "results" / "counts.json").read_text())
    held = [row for row in table(first[kind], "examples") if row["split"] == "validation"]
    before, after = counts["validation_loss_before"], counts["validation_loss_after"]
    assert after < before - 0.3
    assert loss_by_transformers(given / kind, held) == pytest.approx(before, rel=1e-4)
    out = first[kind] / "out"
    assert loss_by_transformers(out, held) == pytest.approx(after, rel=1e-4)
    # A folder like any other of Ingot's, with the names of the files it came from.
    theirs, ours = (load_file(folder / "model.safetensors") for folder in (given / kind, out))
    assert {n: v.shape for n, v in ours.items()} == {n: v.shape for n, v in theirs.items()}
    chat = ChatEncoder(out)
    prompt = chat.prompt([{"role": "user", "content": "What is dedent?"}])
    assert len(generate(open_model(out), [prompt], 4, chat.stops)[0]) <= 4


@pytest.mark.parametrize("kind", KINDS)
def test_packed_rows_do_not_see_each_other(tmp_path: Path, given: Path, kind: str) -> None:
    for packing in ("none", "bfd"):
        tuned(tmp_path / packing, given, kind, packing=packing, batch_size=64)
    plain, packed = (metrics(tmp_path / packing, "loss")[0] for packing in ("none", "bfd"))
    assert packed == pytest.approx(plain, rel=1e-4 if kind != "gpt2" else 2e-2)  # dropout


LORA = {"lora_rank": 4, "lora_alpha": 16, "lora_dropout": 0.1, "learning_rate": 2e-2}


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_are_merged(tmp_path: Path, given: Path, kind: str) -> None:
    wanted = ["c_attn"] if kind == "gpt2" else ["q_proj", "v_proj"]
    counts = tuned(tmp_path, given, kind, lora_targets=wanted, **LORA)
    assert counts["validation_loss_after"] < counts["validation_loss_before"]
    before, after = (
        load_file(folder / "model.safetensors") for folder in (given / kind, tmp_path / "out")
    )
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {n for n in before if n.split(".")[-2] in wanted and n.endswith("weight")}
    # The adapters of the last checkpoint around the model they began with give the same logits.
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    (adapter,) = (tmp_path / "scratch").glob("checkpoint-*")
    base = AutoModelForCausalLM.from_pretrained(given / kind, dtype=torch.float32)
    apart = PeftModel.from_pretrained(base, adapter).eval()
    merged = open_model(tmp_path / "out")
    tokens = torch.arange(60).reshape(2, 30) * 7
    with torch.inference_mode():
        expected = apart(tokens).logits
        assert torch.allclose(merged(tokens), expected, atol=1e-5)
        with apart.disable_adapter():
            assert not torch.allclose(merged(tokens), apart(tokens).logits, atol=1e-2)


def test_adapters_go_on_as_if_undisturbed(tmp_path: Path, given: Path) -> None:
    settings = {**LORA, "epochs": 2}
    tuned(tmp_path / "whole", given, "qwen2", **settings)
    stop = StopRequest()
    rows = given / "instructions.parquet"
    with pytest.raises(StoppedError, match="step 5"):
        run_to_the_end(
            "sft",
            tmp_path / "cut",
            (Path(), rows),
            Listener(stop, 4),
            stop,
            start_from=str(given / "qwen2"),
            batch_size=8,
            **settings,
        )
    tuned(tmp_path / "cut", given, "qwen2", **settings)
    whole, cut = (
        load_file(tmp_path / name / "out" / "model.safetensors") for name in ("whole", "cut")
    )
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    assert metrics(tmp_path / "cut", "loss") == metrics(tmp_path / "whole", "loss")


def test_a_target_that_is_not_there(tmp_path: Path, given: Path) -> None:
    with pytest.raises(LoraTargetError, match=r"c_attn is no matrix.* down_proj, .*q_proj"):
        tuned(tmp_path, given, "qwen2", lora_targets=["q_proj", "c_attn"], **LORA)


def test_weights_that_are_no_numbers(tmp_path: Path, given: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(given / "llama")
    with torch.no_grad():
        model.lm_head.weight[3, 3] = float("inf")
    model.save_pretrained(tmp_path / "llama")
    AutoTokenizer.from_pretrained(given / "llama").save_pretrained(tmp_path / "llama")
    with pytest.raises(NonFiniteWeightsError, match=r"lm_head\.weight"):
        tuned(tmp_path / "run", given, "llama", start_from=str(tmp_path / "llama"))


@pytest.mark.parametrize("kind", ["gpt2", "qwen2"])
def test_one_that_was_tuned_elsewhere_is_taken_back(
    tmp_path: Path, given: Path, first: dict[str, Path], kind: str
) -> None:
    out = first[kind] / "out"
    counts = tuned(tmp_path, given, kind, adopted=str(out), **LORA)
    theirs, ours = (load_file(each / "model.safetensors") for each in (out, tmp_path / "out"))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert counts["validation_loss_after"] < counts["validation_loss_before"] - 0.3


@pytest.mark.parametrize(("kind", "lora"), [("gpt2", {}), ("qwen2", LORA), ("llama", {})])
def test_preferences(
    tmp_path: Path, given: Path, first: dict[str, Path], kind: str, lora: dict[str, Any]
) -> None:
    model = first[kind] / "out", given / "polite.parquet"
    settings = {"learning_rate": 1e-2, **lora, "epochs": 4}
    counts = run_to_the_end("dpo", tmp_path, model, **settings)
    margins = [row["margin"] for row in table(tmp_path, "pairs") if row["split"] == "train"]
    assert np.mean([margin > 0 for margin in margins]) > 0.8
    assert "validation/answer_tokens" in counts["validation_after"]


@pytest.mark.parametrize("kind", ["gpt2", "qwen2"])
def test_a_reward_model_and_learning_by_it(
    tmp_path: Path, given: Path, first: dict[str, Path], kind: str
) -> None:
    from transformers import AutoModelForSequenceClassification

    model = first[kind] / "out"
    rows = given / "polite.parquet"
    run_to_the_end("reward", tmp_path / "reward", (model, rows), epochs=4, batch_size=8)
    folder = tmp_path / "reward" / "out"
    found = reward_model.load(folder)
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    chat = ChatEncoder(folder)
    turns = [{"role": "user", "content": "Ask."}, {"role": "assistant", "content": "please"}]
    rendered = chat.render(turns)
    ids = [*rendered.prompt_ids, *rendered.completion_ids]
    ours = reward_model.score(found, found.hidden, [ids], 256, lambda done, total: None)
    with torch.inference_mode():
        assert ours[0] == pytest.approx(float(theirs(torch.tensor([ids])).logits), rel=1e-4)
    kept = {row["doc_id"]: row["margin"] for row in table(tmp_path / "reward", "pairs")}
    assert np.mean([margin > 0 for margin in kept.values()]) > 0.8
    part = {"kind": "model", "name": "model", "weight": 1.0, "expression": "", "structure": ""}
    part |= {"minimum": 0, "maximum": 1, "seconds": 2.0, "memory_mb": 256}
    counts = run_to_the_end(
        "rlhf",
        tmp_path / "rlhf",
        (model, given / "instructions.parquet"),
        rewards=[part],
        reward_model=str(folder),
        max_prompts=4,
        held_out_prompts=2,
    )
    assert counts["steps"] == 4
    assert len(table(tmp_path / "rlhf", "samples")) > 0
