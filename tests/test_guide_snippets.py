"""The snippets of docs/guide: each gives what the library gives."""

from __future__ import annotations

import random
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llm.model.generation import generate
from llm.model.sampling import Sampling, weights
from llm.model.textbook.gpt2 import Block, GPT2Shape
from llm.model.transformer import attend
from tests.llm.training.small_run import LENGTH, fresh, opened, stepper

FOLDER = Path(__file__).parents[1] / "docs" / "guide"
DEPENDENCIES = {"math", "torch", "torch.nn.functional as F"}


def _snippet(name: str) -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / f"{name}.py"))


def test_each_stands_alone_and_is_short() -> None:
    snippets = sorted(FOLDER.glob("*.py"))
    assert len(snippets) == 4
    for path in snippets:
        lines = path.read_text().splitlines()
        imports = {line.removeprefix("import ") for line in lines if line.startswith("import ")}
        assert imports <= DEPENDENCIES
        assert not [line for line in lines if line.startswith("from ")]
        assert len(lines) < 50


@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_attention_is_the_model_s(key_heads: int) -> None:
    torch.manual_seed(key_heads)
    made = _snippet("attention")
    x, heads, width, length = torch.randn(9, 32), 4, 32, 9
    wq, wo = torch.randn(2, width, width) / 6
    wk, wv = torch.randn(2, key_heads * width // heads, width) / 6
    ours = made["grouped_attention"](x, wq, wk, wv, wo, heads, key_heads)
    q, k, v = ((x @ w.T).view(1, length, -1, 8).transpose(1, 2) for w in (wq, wk, wv))
    out = attend(q, k, v, None).transpose(1, 2).reshape(length, width) @ wo.T
    torch.testing.assert_close(ours, out, atol=1e-5, rtol=1e-5)


def test_the_block_is_gpt_2_s() -> None:
    torch.manual_seed(0)
    block = Block(GPT2Shape(64, 16, 32, 128, 1, 4, 1e-5))
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(11, 32)
    ours = _snippet("gpt2_block")["block"](x, dict(block.named_parameters()), 4)
    torch.testing.assert_close(ours, block(x[None])[0], atol=1e-5, rtol=1e-5)


def test_the_training_loop_takes_the_trainer_s_steps(tmp_path: Path) -> None:
    tokens = opened(tmp_path)
    full = np.flatnonzero(tokens.lengths["train"] == LENGTH + 1)
    batches = [full[:4], full[4:8], full[:4], full[4:8], full[:4]]
    settings = {
        "batch_rows": 4, "steps": 5, "schedule": "cosine", "warmup_steps": 2, "learning_rate": 1e-3
    }  # fmt: skip
    library, own = fresh(), fresh()
    step = stepper(library, tokens, **settings)
    expected = [step(number, rows).read().loss for number, rows in enumerate(batches)]
    rows = [torch.from_numpy(tokens.train[batch].astype(np.int64)) for batch in batches]
    losses = _snippet("training_loop")["train"](own, rows, 1e-3, 2)
    assert losses == pytest.approx(expected, abs=1e-4)
    assert losses[-1] < losses[2] < losses[0]
    for ours, theirs in zip(own.parameters(), library.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)


def test_it_writes_what_the_library_writes() -> None:
    made, model = _snippet("generation"), fresh().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 3  # not all tokens alike
    sampling = Sampling(temperature=0.7, top_k=5, top_p=1.0, seed=4)
    logits = model(torch.tensor([[1, 2, 3]]))[0, -1].detach()
    ours = made["probabilities"](logits.double(), 0.7, 5)
    theirs = weights(logits[None], [sampling])[0]
    torch.testing.assert_close(ours, theirs / theirs.sum())
    assert int((ours > 0).sum()) == 5
    draws = random.Random("4/0").random  # as the library draws for the first row of seed 4
    written = made["write"](model, [1, 2, 3], 12, 0.7, 5, draws)
    assert written == generate(model, [[1, 2, 3]], 12, [], sampling)[0]
    assert len(set(written)) > 3
