"""The products that a step is measured against are those of the step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.models import ours
from benchmarks.pretrain_throughput import fastest, matmul_share
from benchmarks.products import products
from llm.model import products as kernels
from llm.model.architecture import Architecture
from llm.tokens.random_rows import random_rows
from llm.training.planner.constant_rate import constant_rate


def test_products_alone_are_the_products_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_ONEDNN", False)  # whose kernel nobody counts
    device = torch.device("cpu")
    architecture = Architecture(
        vocabulary_size=300,
        hidden_size=32,
        intermediate_size=48,
        layers=2,
        heads=4,
        key_value_heads=2,
        head_dim=16,
        context=256,
        rope_theta=1e4,
        norm_eps=1e-6,
        qk_norm=True,
        tied=True,
    )
    tokens = random_rows(300, 256, 4)
    counted = []
    for step in (
        ours(architecture, tokens, constant_rate(4, "fp32"), device, None),
        products(architecture, 4, 256, "fp32", device),
    ):
        with FlopCounterMode(display=False) as counter:
            step(0, np.arange(4))
        counted.append(counter.get_total_flops())
    assert counted[0] == counted[1] > 0


def test_shares_are_of_the_fastest_variant() -> None:
    speeds = {
        "ingot eager fp32": 60,
        "ingot compiled fp32": 90,
        "transformers eager fp32": 75,
        "transformers compiled bf16": 500,
        "products alone fp32": 120,
    }
    rows: list[dict[str, object]] = [
        {"name": name, "tokens_per_second": speed} for name, speed in speeds.items()
    ]
    share = matmul_share(fastest(rows, "fp32"))
    assert share == {"ingot": 0.75, "transformers": 0.625, "ceiling": 1.6}
