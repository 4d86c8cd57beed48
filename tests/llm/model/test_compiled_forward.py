"""Compiled code of generation: against PyTorch, for any number of threads and neighbours."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import torch

from llm.model import machine_code
from llm.model.architecture import Architecture
from llm.model.compiled_forward import CompiledForward
from llm.model.eager_forward import EagerForward
from llm.model.inference import Inference
from llm.model.transformer import Transformer
from llm.model.weight_matrix import Weights, int8_steps

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")

SHAPES = [  # heads, key heads, head size, layers, norms of heads, tied
    (2, 1, 64, 2, True, True),
    (4, 4, 16, 1, False, False),
    (6, 2, 48, 3, True, False),
    (3, 3, 128, 2, False, True),
]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def model(shape: tuple[int, int, int, int, bool, bool], scale: float = 1.0) -> Transformer:
    heads, key_heads, head_dim, layers, qk_norm, tied = shape
    architecture = Architecture(
        vocabulary_size=301,
        hidden_size=96,
        intermediate_size=176,
        layers=layers,
        heads=heads,
        key_value_heads=key_heads,
        head_dim=head_dim,
        context=64,
        rope_theta=10_000.0,
        norm_eps=1e-6,
        qk_norm=qk_norm,
        tied=tied,
    )
    made = Transformer(architecture).eval()
    draw = torch.Generator().manual_seed(heads)
    with torch.no_grad():
        for parameter in made.parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            parameter.copy_(1 + noise / 4 if parameter.ndim == 1 else noise * scale / 8)
    return made


def pair(of: Transformer, places: int, weights: Weights = "plain") -> tuple[Inference, Inference]:
    """Compiled, and PyTorch's."""
    compiled, plain = (Inference(of, places, 64, None, weights) for _ in range(2))
    assert isinstance(compiled._forward, CompiledForward)
    plain._forward = EagerForward(of, weights, plain._keys, plain._values)
    return compiled, plain


PROMPTS = [[5], [7, 300, 0, 12, 9], list(range(40, 73)), [1, 2]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 6.0])  # of weights: attention that picks one position too
def test_logits_and_cache_are_pytorch_s(
    shape: tuple[int, int, int, int, bool, bool], scale: float
) -> None:
    compiled, plain = pair(model(shape, scale), 6)
    for each in (compiled, plain):
        each.extend(PROMPTS, first=1)
    for step in range(20):
        tokens = [[(step * 37 + row * 11) % 301] for row in range(3)]
        found, expected = (each.extend(tokens, first=2) for each in (compiled, plain))
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-4 * float(expected.std()))
    assert compiled.lengths == plain.lengths == [0, 1, 25, 53, 22, 0]
    for one, other in ((compiled._keys, plain._keys), (compiled._values, plain._values)):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-4 * float(other.std()))


@pytest.mark.parametrize("weights", ["plain", "bf16", "int8"])
def test_neighbours_and_threads_change_no_bit(weights: Weights) -> None:
    of = model(SHAPES[2])
    torch.set_num_threads(1)
    alone = []
    for number, prompt in enumerate(PROMPTS):
        inference = Inference(of, 1, 64, None, weights)
        for token in prompt[:9]:
            inference.extend([[token]])
        alone.append(torch.cat([inference.extend([[number * 50 + step]]) for step in range(5)]))
    for count in (1, 2, 3, 7):
        torch.set_num_threads(count)
        inference = Inference(of, len(PROMPTS), 64, None, weights)
        inference.extend([prompt[: min(4, len(prompt))] for prompt in PROMPTS])
        for row, prompt in enumerate(PROMPTS):
            if prompt[4:9]:
                inference.extend([prompt[4:9]], first=row)
        steps = [inference.extend([[row * 50 + step] for row in range(4)]) for step in range(5)]
        for row, expected in enumerate(alone):
            assert torch.equal(torch.stack([step[row] for step in steps]), expected)


def test_a_long_prompt_is_its_tokens_one_by_one() -> None:
    """More tokens than meet a matrix at once, among those of others."""
    of = model(SHAPES[0])
    one, whole = Inference(of, 1, 200), Inference(of, 2, 200)
    prompt = [(7 * at) % 301 for at in range(150)]
    for token in prompt:
        expected = one.extend([[token]])
    assert torch.equal(whole.extend([[1, 2, 3], prompt])[1], expected[0])


@pytest.mark.parametrize("weights", ["bf16", "int8"])
def test_narrow_weights_are_what_was_kept(weights: Weights) -> None:
    """A step with narrow weights is that of a model which holds the rounded ones."""
    of = model(SHAPES[1])
    rounded = model(SHAPES[1])
    with torch.no_grad():
        for name, parameter in rounded.named_parameters():
            if parameter.ndim == 1 or "embed" in name:
                continue
            scale = of.architecture.head_dim**-0.5 if "q_proj" in name else 1.0
            if weights == "bf16":
                parameter.copy_((parameter * scale).bfloat16() / scale)
            else:
                steps, worth = int8_steps(parameter * scale)
                parameter.copy_(steps * worth[:, None] / scale)
    kept, plain = Inference(of, 1, 64, None, weights), Inference(rounded, 1, 64)
    for token in (3, 99, 200, 4):
        found, expected = kept.extend([[token]]), plain.extend([[token]])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_no_token_or_position_beyond_the_model() -> None:
    inference = Inference(model(SHAPES[0]), 1, 64)
    for wrong in (-1, 301):
        with pytest.raises(IndexError, match="of 301"):
            inference.extend([[wrong]])
    inference.lengths[0] = 64
    with pytest.raises(IndexError, match="positions 64 to 64 of 64"):
        inference.extend([[1]])


def test_a_model_that_it_cannot_take_goes_pytorch_s_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(Inference(model(SHAPES[0]), 1, 64, torch.bfloat16)._forward, EagerForward)
    odd = model((2, 1, 24, 1, True, True))
    assert isinstance(Inference(odd, 1, 64)._forward, EagerForward)
    machine_code.library.cache_clear()
    monkeypatch.setenv("CC", "no-such-compiler")
    caplog.set_level("WARNING")
    try:
        inference = Inference(model(SHAPES[0]), 1, 64)
        assert isinstance(inference._forward, EagerForward)
        assert inference.extend([[1]]).isfinite().all()
        assert "no-such-compiler compiles nothing here" in caplog.text
        machine_code.library.cache_clear()
        monkeypatch.setenv("CC", "cc -O1")  # as make takes it
        assert isinstance(Inference(model(SHAPES[0]), 1, 64)._forward, CompiledForward)
    finally:
        machine_code.library.cache_clear()
