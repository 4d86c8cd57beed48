"""The classic GPT-2 block against transformers' GPT2LMHeadModel, and on text."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from llm.model.architecture import ArchitectureError
from llm.model.config_file import ForeignModelError, ModelFolderError
from llm.model.folder import WEIGHTS
from llm.model.textbook.gpt2 import GPT2, GPT2Shape, SequenceTooLongError, UnknownTokenError
from llm.model.textbook.gpt2_folder import (
    MissingTensorError,
    NonFiniteWeightError,
    TensorShapeError,
    read,
    write,
)

torch.set_num_threads(1)
PAGE = Path(__file__).parents[4] / "docs" / "architecture.md"
SHAPE = GPT2Shape(
    vocabulary_size=120,
    context=40,
    hidden_size=48,
    intermediate_size=192,
    layers=3,
    heads=4,
    norm_eps=1e-5,
)


def spread(model: GPT2) -> GPT2:
    """Weights of a size at which every part changes what comes out, biases included."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def some_tokens(rows: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(SHAPE.vocabulary_size, (rows, length), generator=generator)


def theirs_from(folder: Path) -> GPT2LMHeadModel:
    """What transformers opens, with every tensor in its place and none left."""
    model, found = GPT2LMHeadModel.from_pretrained(folder, output_loading_info=True)
    assert not any(found.values()), found
    return model.eval()


def loss(logits: Tensor, tokens: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


@pytest.mark.parametrize("inner", [192, 80])
def test_ours_is_theirs_and_so_are_its_gradients(tmp_path: Path, inner: int) -> None:
    shape = replace(SHAPE, intermediate_size=inner)
    model = spread(GPT2(shape, seed=1))
    write(model, tmp_path)
    theirs = theirs_from(tmp_path)
    tokens = some_tokens(3, SHAPE.context)
    mine, reference = model(tokens), theirs(tokens).logits
    assert mine.shape == (3, SHAPE.context, SHAPE.vocabulary_size)
    assert (mine - reference).abs().max() < 1e-5 * reference.abs().max()
    loss(mine, tokens).backward()
    loss(reference, tokens).backward()
    other = dict(theirs.named_parameters())
    for name, parameter in model.named_parameters():
        gradient = other[name].grad
        if parameter.ndim == 2 and ".h." in name:
            gradient = gradient.T
        assert parameter.grad is not None
        assert (parameter.grad - gradient).abs().max() < 1e-5, name
        assert parameter.grad.abs().max() > 1e-4, name
    assert shape.parameters == theirs.num_parameters()
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    again = read(tmp_path)
    assert again.shape == shape
    assert torch.equal(again(tokens), mine)


def test_theirs_is_ours(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = GPT2Config(vocab_size=90, n_positions=33, n_embd=36, n_layer=2, n_head=3)
    theirs = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    theirs.save_pretrained(tmp_path)
    model = read(tmp_path)
    tokens = some_tokens(2, 33) % 90
    with torch.no_grad():
        reference = theirs(tokens).logits
        assert (model(tokens) - reference).abs().max() < 1e-5 * reference.abs().max()
    # As the published files are: no prefix, masks among the parameters, few fields.
    state = load_file(tmp_path / WEIGHTS)
    bare = {name.removeprefix("transformer."): value for name, value in state.items()}
    mask = torch.ones(1, 1, 33, 33).tril()
    save_file(bare | {"h.0.attn.bias": mask}, tmp_path / WEIGHTS)
    config = json.loads((tmp_path / "config.json").read_text())
    published = ("architectures", "layer_norm_epsilon", "n_embd", "n_head", "n_layer")
    kept = {field: config[field] for field in (*published, "n_positions", "vocab_size")}
    (tmp_path / "config.json").write_text(json.dumps(kept))
    assert torch.equal(read(tmp_path)(tokens), model(tokens))


def test_the_published_sizes() -> None:
    """124M, as transformers counts its default, which is the smallest GPT-2."""
    small = GPT2Shape(50257, 1024, 768, 3072, 12, 12, 1e-5)
    with torch.device("meta"):
        theirs = GPT2LMHeadModel(GPT2Config())
    assert small.parameters == theirs.num_parameters() == 124_439_808


def test_first_weights() -> None:
    one, two, other = GPT2(SHAPE, seed=4), GPT2(SHAPE, seed=4), GPT2(SHAPE, seed=5)
    state = one.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in two.state_dict().items())
    name = "transformer.h.1.mlp.c_proj.weight"
    assert not torch.equal(state[name], other.state_dict()[name])
    assert state[name].std().item() == pytest.approx(0.02 / 6**0.5, rel=0.05)
    assert state["transformer.wte.weight"].std().item() == pytest.approx(0.02, rel=0.05)
    assert state["transformer.h.0.attn.c_attn.bias"].abs().max() == 0
    assert state["transformer.ln_f.weight"].unique().tolist() == [1]


@pytest.mark.long
def test_it_learns_a_page() -> None:
    """The beginning of a page, guessed better than by how often each of its bytes occurs."""
    data = PAGE.read_bytes()[:2000]
    counts = Counter(data).values()
    entropy = -sum(count / len(data) * math.log(count / len(data)) for count in counts)
    shape = replace(SHAPE, vocabulary_size=256, context=32, hidden_size=64, layers=2)
    model, text = GPT2(shape, seed=0), torch.tensor(list(data))
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3, betas=(0.9, 0.95))
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(220):
        starts = torch.randint(len(data) - 32, (16, 1), generator=generator)
        rows = text[starts + torch.arange(32)]
        found = loss(model(rows), rows)
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
        losses.append(found.item())
    assert losses[0] == pytest.approx(math.log(256), rel=0.02)
    assert sum(losses[-10:]) / 10 < entropy - 0.3 < 0.6 * math.log(256)


def test_tokens_it_cannot_take() -> None:
    model = GPT2(SHAPE, seed=0)
    with pytest.raises(SequenceTooLongError, match=r"of 41 tokens.*40 positions"):
        model(some_tokens(1, 41))
    for wrong in (120, -1):
        tokens = some_tokens(2, 9)
        tokens[1, 4] = wrong
        with pytest.raises(UnknownTokenError, match=rf"token {wrong} is none .* 0 to 119"):
            model(tokens)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"heads": 5}, "48 cannot be cut into 5 heads"),
        ({"layers": 0}, "layers is 0; it is a whole number from 1"),
        ({"context": 8.5}, "context is 8.5; it is a whole"),
        ({"norm_eps": 0.0}, "norm_eps is 0.0; it is a number above 0"),
    ],
)
def test_sizes_that_are_none(changed: dict[str, int], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        replace(SHAPE, **changed)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    write(GPT2(SHAPE, seed=0), tmp_path)
    state = load_file(tmp_path / WEIGHTS)

    def rewrite(without: str = "", **tensors: Tensor) -> None:
        changed = {k: v for k, v in state.items() if k != without} | tensors
        save_file(changed, tmp_path / WEIGHTS)

    rewrite(without="transformer.h.2.ln_1.bias")
    with pytest.raises(MissingTensorError, match=r"no tensor 'h\.2\.ln_1\.bias'"):
        read(tmp_path)
    name = "transformer.h.1.mlp.c_fc.weight"  # as nn.Linear has it, not as Conv1D
    rewrite(**{name: state[name].T.contiguous()})
    with pytest.raises(TensorShapeError, match=r"h\.1.* is \(192, 48\), and \(48, 192\) by"):
        read(tmp_path)
    rewrite(**{"transformer.ln_f.bias": torch.full((48,), torch.nan)})
    with pytest.raises(NonFiniteWeightError, match=r"ln_f\.bias has weights that are no finite"):
        read(tmp_path)
    rewrite(**{"transformer.h.3.ln_1.bias": torch.zeros(48)})
    with pytest.raises(ForeignModelError, match=r"no tensor 'h\.3\.ln_1\.bias'"):
        read(tmp_path)
    rewrite(**{"lm_head.weight": torch.zeros(120, 48)})
    with pytest.raises(ForeignModelError, match=r"lm_head\.weight is not wte\.weight"):
        read(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(ModelFolderError, match="no readable weights"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("n_layer", 10**9, MissingTensorError, "h.3.attn.c_attn.weight"),
        ("n_embd", 10**9, TensorShapeError, "wte.weight is"),
        ("n_embd", "wide", ModelFolderError, "hidden_size is 'wide'"),
        ("n_head", None, ModelFolderError, "heads is None"),
        ("architectures", ["LlamaForCausalLM"], ForeignModelError, "no config of a GPT2LMHead"),
        ("activation_function", "relu", ForeignModelError, "activation_function is 'relu'"),
        ("tie_word_embeddings", False, ForeignModelError, "tie_word_embeddings is False"),
    ],
)
def test_a_config_that_is_another(
    tmp_path: Path, field: str, value: object, error: type[Exception], message: str
) -> None:
    write(GPT2(SHAPE, seed=0), tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {field: value}))
    with pytest.raises(error, match=message):
        read(tmp_path)
    del config["n_positions"]
    path.write_text(json.dumps(config))
    with pytest.raises(ModelFolderError, match="no field 'n_positions'"):
        read(tmp_path)
    path.write_text("[")
    with pytest.raises(ModelFolderError, match="no readable config"):
        read(tmp_path)
