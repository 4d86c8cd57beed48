"""The model and its folder, against transformers' Qwen3 and Llama."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm.model.architecture import Architecture, ArchitectureError
from llm.model.config_file import (
    ForeignModelError,
    ModelFolderError,
    TokenizerMismatchError,
    check_tokenizer,
    tokenizer_digest,
)
from llm.model.folder import load, save
from llm.model.initialisation import initialise
from llm.model.transformer import Transformer, attend
from llm.tokens.special_tokens import END_OF_TEXT, TURN_END
from tests.llm.tokens.small_tokenizer import SIZE, small_folder, small_tokenizer

torch.set_num_threads(1)

QWEN = Architecture(
    vocabulary_size=SIZE,
    hidden_size=48,
    intermediate_size=96,
    layers=3,
    heads=4,
    key_value_heads=2,
    head_dim=16,
    context=64,
    rope_theta=20_000.0,
    norm_eps=1e-6,
    qk_norm=True,
    tied=True,
)
KINDS = [
    pytest.param(replace(QWEN, qk_norm=qk_norm, tied=tied, key_value_heads=heads), id=name)
    for name, qk_norm, tied, heads in (
        ("qwen3-tied", True, True, 2),
        ("qwen3-untied-mha", True, False, 4),
        ("llama-tied-mqa", False, True, 1),
        ("llama-untied", False, False, 2),
    )
]


def spread(architecture: Architecture, seed: int = 1) -> Transformer:
    """Random weights, norms included, wide enough that no two tokens are about as likely."""
    model = Transformer(architecture)
    initialise(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5, generator=generator)
            else:
                parameter.mul_(6)
    return model.eval()


def saved(model: Transformer, parent: Path, eos: str = END_OF_TEXT) -> Path:
    save(model, parent / "model", small_folder(parent / "tokenizer"), eos)
    return parent / "model"


def some_tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(SIZE, (rows, length), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("architecture", KINDS)
def test_logits_count_and_round_trip(tmp_path: Path, architecture: Architecture) -> None:
    model = spread(architecture)
    folder = saved(model, tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    assert type(theirs).__name__ == ("Qwen3" if architecture.qk_norm else "Llama") + "ForCausalLM"
    tokens = some_tokens(3, 40)
    with torch.no_grad():
        ours, reference = model(tokens), theirs(tokens).logits
        again = load(folder)(tokens)
    assert (ours - reference).abs().max() < 1e-5 * reference.abs().max()
    assert torch.equal(again, ours)
    assert architecture.parameters == theirs.num_parameters()
    assert architecture.parameters == sum(p.numel() for p in model.parameters())
    assert load(folder).architecture == architecture


def test_short_attention_in_bfloat16_is_that_of_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(2, 4, 24, 16, generator=generator)
    keys, values = torch.randn(2, 2, 2, 24, 16, generator=generator)
    mask = torch.ones(24, 24, dtype=torch.bool).tril()
    mask[12:, :12] = False
    for seen in (None, mask[None, None]):
        wide = attend(queries, keys, values, seen)
        narrow = attend(queries.bfloat16(), keys.bfloat16(), values.bfloat16(), seen)
        assert narrow.dtype == torch.bfloat16
        assert (narrow.float() - wide).abs().max() < 0.03


def test_a_document_is_unmoved_by_its_neighbour() -> None:
    model, tokens = spread(QWEN), some_tokens(1, 30)
    segment = torch.tensor([0] * 13 + [1] * 17)
    mask = (segment[:, None] == segment[None, :]) & torch.ones(30, 30, dtype=torch.bool).tril()
    with torch.no_grad():
        together = model(tokens, mask[None, None])
        alone = model(tokens[:, :13])
        other = model(torch.cat((some_tokens(2, 13)[1:], tokens[:, 13:]), 1), mask[None, None])
    assert torch.allclose(together[:, :13], alone, atol=1e-4)
    assert torch.allclose(together[:, 13:], other[:, 13:], atol=1e-4)
    assert not torch.allclose(together[:, :13], other[:, :13], atol=1e-2)


def test_the_folder_says_where_text_ends(tmp_path: Path) -> None:
    folder = saved(spread(QWEN), tmp_path, TURN_END)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turn_end = small_tokenizer().token_to_id(TURN_END)
    assert tokenizer.eos_token == TURN_END
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == turn_end
    generation = json.loads((folder / "generation_config.json").read_text())
    assert generation["eos_token_id"] == sorted(
        {turn_end, small_tokenizer().token_to_id(END_OF_TEXT)}
    )
    assert generation["pad_token_id"] not in generation["eos_token_id"]


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = saved(spread(QWEN), tmp_path)
    other = small_folder(tmp_path / "other")
    check_tokenizer(folder, other)
    changed = (other / "tokenizer.json").read_text().replace("<|endoftext|>", "<|end|>")
    (other / "tokenizer.json").write_text(changed)
    with pytest.raises(TokenizerMismatchError, match=str(other)):
        check_tokenizer(folder, other)
    (folder / "tokenizer.json").write_text(changed)
    with pytest.raises(TokenizerMismatchError):
        load(folder)


def test_a_folder_that_transformers_saved(tmp_path: Path) -> None:
    folder = saved(spread(QWEN), tmp_path)
    model, tokenizer = (
        kind.from_pretrained(folder) for kind in (AutoModelForCausalLM, AutoTokenizer)
    )
    again, shards = tmp_path / "again", tmp_path / "shards"
    model.save_pretrained(again)
    # Of a model that Ingot made: the same tokenizer in other bytes.
    shutil.copyfile(folder / "tokenizer.json", again / "tokenizer.json")
    load(again)
    tokenizer.save_pretrained(again)
    with pytest.raises(TokenizerMismatchError, match=r"saved again by transformers \d.*Copy the"):
        load(again)
    # Of any other: it does not say which tokenizer it was trained with, and can be told to.
    config = json.loads((again / "config.json").read_text())
    del config["tokenizer_sha256"]
    (again / "config.json").write_text(json.dumps(config))
    digest = tokenizer_digest(again)
    with pytest.raises(ForeignModelError, match=rf"by transformers \d.*{digest}"):
        load(again)
    (again / "config.json").write_text(json.dumps(config | {"tokenizer_sha256": digest}))
    found = load(again)
    assert torch.equal(found.lm_head.weight, load(folder).lm_head.weight)
    model.save_pretrained(shards, max_shard_size="50KB")
    shutil.copyfile(folder / "tokenizer.json", shards / "tokenizer.json")
    assert torch.equal(load(shards).lm_head.weight, load(folder).lm_head.weight)
    for part in shards.glob("model*"):
        part.unlink()
    with pytest.raises(ModelFolderError, match=r"model\.safetensors is missing"):
        load(shards)
    (shards / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ForeignModelError, match="a pickle"):
        load(shards)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    folder = saved(spread(QWEN), tmp_path)
    config = json.loads((folder / "config.json").read_text())

    def changed(**values: object) -> None:
        (folder / "config.json").write_text(json.dumps(config | values))

    changed(hidden_size=64)
    with pytest.raises(ModelFolderError, match=r"model\.safetensors does not fit"):
        load(folder)
    changed(architectures=["GPT2LMHeadModel"])
    with pytest.raises(ModelFolderError, match="GPT2LMHeadModel"):
        load(folder)
    del config["vocab_size"]
    changed()
    with pytest.raises(ModelFolderError, match="vocab_size"):
        load(folder)
    with pytest.raises(ArchitectureError, match="multiple"):
        replace(QWEN, key_value_heads=3)


def test_first_weights_are_those_of_the_seed() -> None:
    one, two, other = Transformer(QWEN), Transformer(QWEN), Transformer(QWEN)
    initialise(one, 4)
    initialise(two, 4)
    initialise(other, 5)
    name = "model.layers.1.mlp.down_proj.weight"
    assert torch.equal(one.state_dict()[name], two.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], other.state_dict()[name])
    assert one.state_dict()[name].std().item() == pytest.approx(0.02 / 6**0.5, rel=0.05)
    assert one.lm_head.weight.std().item() == pytest.approx(0.02, rel=0.02)


def test_operations_a_token() -> None:
    model = spread(QWEN)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    norms = sum(p.numel() for p in model.parameters() if p.ndim == 1)
    products = 6 * (sum(p.numel() for p in matrices) + norms)
    assert QWEN.flops_per_token(64) == products + 12 * 3 * 4 * 16 * 64
    untied = replace(QWEN, tied=False)
    assert untied.flops_per_token(64) == QWEN.flops_per_token(64)
