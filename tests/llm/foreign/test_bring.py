"""Models of other programs laid out as ours: same tokens, same logits, same answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from llm.export.probes import TEXTS
from llm.foreign.bring import (
    NoChatTemplateError,
    TokenizerSizeError,
    UnloadableTokenizerError,
    bring,
)
from llm.foreign.folder import context_in
from llm.foreign.model import (
    ForeignModel,
    NonFiniteWeightsError,
    UnloadableModelError,
    check_finite,
    load_foreign,
    open_model,
)
from llm.model.config_file import ForeignModelError, ModelFolderError
from llm.model.generation import generate
from llm.model.transformer import Transformer
from llm.tokens.chat import ChatEncoder
from tests.llm.foreign_models import CONTEXT, KINDS, PLAIN, foreign_folder

TURNS = [
    {"role": "user", "content": "What is a tree?"},
    {"role": "assistant", "content": "A plant."},
    {"role": "user", "content": "And <|eot_id|> <|im_end|> a shrub?"},
    {"role": "assistant", "content": "A small one."},
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Of each kind what was saved, and what it was brought as."""
    root = tmp_path_factory.mktemp("foreign")
    (root / "plain.jinja").write_text(PLAIN)
    found = {}
    for kind in KINDS:
        source, target = foreign_folder(kind, root / kind), root / f"{kind}-brought"
        bring(source, target, root / "plain.jinja" if kind == "gpt2" else None)
        found[kind] = source, target
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers(folders: dict[str, tuple[Path, Path]], kind: str) -> None:
    from transformers import AutoModelForCausalLM

    source, target = folders[kind]
    theirs = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    ours = open_model(target)
    assert isinstance(ours, Transformer if kind == "llama" else ForeignModel)
    assert ours.architecture.context == context_in(target) == CONTEXT
    tokens = torch.arange(60).reshape(2, 30) * 7
    with torch.inference_mode():
        expected = theirs(tokens).logits
        assert torch.allclose(ours(tokens), expected, atol=1e-5)
        assert torch.allclose(ours.lm_head(ours.hidden(tokens)), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_answers_are_those_of_transformers(
    folders: dict[str, tuple[Path, Path]], kind: str
) -> None:
    from transformers import AutoModelForCausalLM

    source, target = folders[kind]
    theirs = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    prompts = [[5, 9, 300], [17] * 11, [44]]
    made = generate(open_model(target), prompts, 8, ())
    for prompt, answer in zip(prompts, made, strict=True):
        ids = torch.tensor([prompt])
        expected = theirs.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=8,
            do_sample=False,
            eos_token_id=-1,
            pad_token_id=0,
        )
        assert answer == expected[0, len(prompt) :].tolist()


@pytest.mark.parametrize(
    ("kind", "end", "stops"),
    [
        ("llama", "<|eot_id|>", {"<|eot_id|>"}),
        ("qwen2", "<|im_end|>", {"<|im_end|>", "<|endoftext|>"}),
        ("gpt2", "<|endoftext|>", {"<|endoftext|>"}),
    ],
)
def test_conversations_are_those_of_its_template(
    folders: dict[str, tuple[Path, Path]], kind: str, end: str, stops: set[str]
) -> None:
    chat = ChatEncoder(folders[kind][1])
    ids = chat.tokenizer.convert_tokens_to_ids
    assert (chat.turn_end, chat.end) == (end, ids(end))
    assert set(chat.stops) == {ids(token) for token in stops}
    assert chat.pad != chat.end
    # What a message spells out is text, so the template is asked about turns without.
    turns = [*TURNS[:2], {"role": "user", "content": "  And a shrub?\n"}, TURNS[3]]
    rendered = chat.render(turns)
    ask = chat.tokenizer.apply_chat_template
    sent = ask(turns[:3], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert rendered.prompt_ids == sent == chat.prompt(turns[:3])
    whole = ask(turns, return_dict=True)["input_ids"]
    assert [*sent, *rendered.completion_ids] == whole[: len(sent) + len(rendered.completion_ids)]
    # No `{% generation %}` in any of them: what is learned is told by the frame.
    mine = zip(rendered.prompt_ids, rendered.prompt_supervised, strict=True)
    assert chat.decode([token for token, learned in mine if learned]) == f"A plant.{end}"
    assert chat.decode(rendered.completion_ids) == f"A small one.{end}"
    spelled = chat.render(TURNS).prompt_ids
    assert spelled.count(chat.end) == rendered.prompt_ids.count(chat.end)


def test_a_model_in_shards_and_one_with_scaled_positions(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}
    for name, changes in (("whole", {}), ("scaled", {"rope_parameters": scaled})):
        source = foreign_folder("llama", tmp_path / name, **changes)
        theirs = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
        for path in source.glob("*.safetensors"):
            path.unlink()
        theirs.save_pretrained(source, max_shard_size="60KB")
        assert len(list(source.glob("model-*.safetensors"))) > 1
        bring(source, tmp_path / "brought", None)
        ours = open_model(tmp_path / "brought")
        assert isinstance(ours, ForeignModel if changes else Transformer)
        tokens = torch.arange(40)[None]
        with torch.inference_mode():
            assert torch.allclose(ours(tokens), theirs.eval()(tokens).logits, atol=1e-5)


def test_a_model_without_a_template_and_a_template_that_does_not_fit(tmp_path: Path) -> None:
    source = foreign_folder("gpt2", tmp_path / "gpt2")
    with pytest.raises(NoChatTemplateError, match=r"sft\.chat_template"):
        bring(source, tmp_path / "brought", None)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_those_of_transformers(folders: dict[str, tuple[Path, Path]], kind: str) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folders[kind][0])
    chat = ChatEncoder(folders[kind][1])
    for text in TEXTS:
        expected = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert chat.text(text) == expected


@pytest.fixture
def qwen(folders: dict[str, tuple[Path, Path]], tmp_path: Path) -> Path:
    shutil.copytree(folders["qwen2"][0], tmp_path / "qwen2")
    return tmp_path / "qwen2"


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_tokenizer_of_another_size(qwen: Path, tmp_path: Path) -> None:
    edited(qwen / "config.json", vocab_size=900)
    with pytest.raises(TokenizerSizeError, match=r"ids up to 1\d\d\d, and the model has 900 rows"):
        bring(qwen, tmp_path / "brought", None)


def test_files_that_are_none(qwen: Path, tmp_path: Path) -> None:
    target = tmp_path / "brought"
    tokenizer = (qwen / "tokenizer.json").read_bytes()
    (qwen / "tokenizer.json").write_bytes(b"{")
    with pytest.raises(UnloadableTokenizerError, match="does not load its tokenizer"):
        bring(qwen, target, None)
    (qwen / "tokenizer.json").write_bytes(tokenizer)
    edited(qwen / "config.json", model_type="nothing_known")
    with pytest.raises(ModelFolderError, match="knows no such model"):
        bring(qwen, target, None)
    (qwen / "config.json").write_text("[]")
    with pytest.raises(ModelFolderError, match="a list, expected an object"):
        bring(qwen, target, None)
    (qwen / "model.safetensors").rename(qwen / "pytorch_model.bin")
    with pytest.raises(ForeignModelError, match="a pickle"):
        bring(qwen, target, None)
    (qwen / "pytorch_model.bin").unlink()
    (qwen / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelFolderError, match="git lfs pull"):
        bring(qwen, target, None)


def test_weights_that_are_missing_or_no_numbers(qwen: Path, tmp_path: Path) -> None:
    path = qwen / "model.safetensors"
    state = load_file(path)
    name = "model.layers.0.mlp.up_proj.weight"
    state[name][0, 0] = float("nan")
    save_file(state, path, metadata={"format": "pt"})
    bring(qwen, tmp_path / "brought", None)
    with pytest.raises(NonFiniteWeightsError, match=rf"{name} of its weights hold NaN"):
        check_finite(open_model(tmp_path / "brought"), qwen)
    del state[name]
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(UnloadableModelError, match=f"no weights for {name}"):
        load_foreign(qwen)
