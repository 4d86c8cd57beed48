"""Both ways of telling the model where documents end say the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from llm.training import document_masks
from tests.llm.training.small_run import fresh

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@st.composite
def _segments(draw: st.DrawFn) -> Tensor:
    rows, length = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    made = []
    for _ in range(rows):
        steps = draw(st.lists(st.integers(0, 1), min_size=length, max_size=length))
        row = torch.tensor(steps).cumsum(0)
        padding = draw(st.integers(0, length - 1))
        if padding:
            row[-padding:] = -1
        made.append(row)
    return torch.stack(made).int()


@given(_segments())
def test_bounds_say_what_the_dense_mask_says(segments: Tensor) -> None:
    rows, length = segments.shape
    found = document_masks.bounds(segments)
    assert found.dtype == torch.int32
    assert found[0] == 0
    assert found[-1] == rows * length
    assert (found.diff() >= 0).all()
    count = len(found) - 1
    assert count & (count - 1) == 0, "a power of two"
    whole = torch.zeros(rows * length, rows * length, dtype=torch.bool)
    for start, end in zip(found[:-1].tolist(), found[1:].tolist(), strict=True):
        whole[start:end, start:end] = torch.ones(end - start, end - start).tril().bool()
    dense = document_masks.dense(segments)[:, 0]
    expected = torch.block_diag(*dense.int()).bool()
    assert torch.equal(whole, expected)


@pytest.mark.parametrize(
    ("wanted", "device", "precision", "head_dim", "kind"),
    [
        (False, CUDA, "bf16", 64, "none"),
        (True, CUDA, "bf16", 64, "bounds"),
        (True, CUDA, "fp32", 64, "dense"),
        (True, CUDA, "bf16", 20, "dense"),
        (True, CUDA, "bf16", 512, "dense"),
        (True, CPU, "bf16", 64, "dense"),
    ],
)
def test_kind_by_what_the_kernel_takes(
    wanted: bool, device: torch.device, precision: str, head_dim: int, kind: str
) -> None:
    a = replace(fresh().architecture, head_dim=head_dim)
    assert document_masks.choose_kind(wanted, device, precision, a) == kind
