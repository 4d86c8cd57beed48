"""Recorded steps, played back on a CPU: only the operations that were recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from llm.model.architecture import Architecture
from llm.model.eager_forward import EagerForward
from llm.model.transformer import Transformer

LONGEST = 600
PLACES = 5


class _Tape(TorchDispatchMode):
    """Keeps operations with the very tensors that they worked on, as a CUDA graph does."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Callable, tuple, dict, object]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.done.append((func, args, kwargs or {}, out))
        return out

    def play(self) -> None:
        for func, args, kwargs, out in self.done:
            again = func(*args, **kwargs)
            if isinstance(out, torch.Tensor) and out.data_ptr() != again.data_ptr():
                out.copy_(again)


class _Recorder:
    def __init__(self) -> None:
        self.recorded = 0

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1
        tape = _Tape()
        with tape:
            work()
        return tape.play


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    architecture = Architecture(
        vocabulary_size=97,
        hidden_size=48,
        intermediate_size=64,
        layers=2,
        heads=4,
        key_value_heads=2,
        head_dim=12,
        context=LONGEST,
        rope_theta=10_000.0,
        norm_eps=1e-6,
        qk_norm=True,
        tied=True,
    )
    return Transformer(architecture).eval()


def _forward(model: Transformer) -> tuple[EagerForward, torch.Tensor]:
    a = model.architecture
    shape = (a.layers, PLACES, a.key_value_heads, LONGEST + 1, a.head_dim)
    keys = torch.zeros(shape)
    return EagerForward(model, "plain", keys, torch.zeros(shape)), keys


@torch.inference_mode()
def test_recorded_steps_give_what_steps_give(model: Transformer) -> None:
    plain, plain_keys = _forward(model)
    played, keys = _forward(model)
    recorder = _Recorder()
    played.record_steps(recorder)
    draw = torch.Generator().manual_seed(1)
    prompts = [
        torch.randint(97, (length,), generator=draw).tolist() for length in (3, 253, 40, 511, 9)
    ]
    lengths = [len(prompt) for prompt in prompts]
    for row, prompt in enumerate(prompts):
        for forward in (plain, played):
            forward([prompt], [0], row)
    last = keys[:, 4].clone()
    for rows in (3, 3, 3, 3, 3, 3, 4, 4, 2, 1, 1):  # past 256 and 512 positions
        tokens = [[token] for token in torch.randint(97, (rows,), generator=draw).tolist()]
        expected = plain(tokens, lengths[:rows], 0)
        found = played(tokens, lengths[:rows], 0)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        lengths[:rows] = [length + 1 for length in lengths[:rows]]
    torch.testing.assert_close(keys[..., :LONGEST, :], plain_keys[..., :LONGEST, :])
    # A row that fills up the number leaves what others have taken in as it was.
    assert torch.equal(keys[:, 4, :, :LONGEST], last[..., :LONGEST, :])
    assert recorder.recorded == 5  # 4 rows of 256, 512 and 601 positions; 2 rows, 1 row


@torch.inference_mode()
def test_what_cannot_be_recorded_is_done_and_said(
    model: Transformer, caplog: pytest.LogCaptureFixture
) -> None:
    plain, _ = _forward(model)
    refused, _ = _forward(model)

    def refuse(work: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError("operation not permitted when stream is capturing")

    refused.record_steps(refuse)
    found = refused([[5], [6]], [0, 0], 0)
    torch.testing.assert_close(found, plain([[5], [6]], [0, 0], 0), rtol=1e-4, atol=1e-5)
    assert "steps of 2 rows cannot be recorded" in caplog.text
