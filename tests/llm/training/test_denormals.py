"""What trains takes denormal numbers for zero, on every thread."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Said by whatever would train: what is left of half a denormal number.
_SAY = "print(float((torch.full((1 << 20,), 1e-42) * 0.5).max()))"
_PRETRAINING = f"""
import torch
from llm.training import __main__, loop
loop.train = lambda run, stop: {_SAY}
{_SAY}
__main__._train(None)
{_SAY}
"""
_ALIGNMENT = f"""
import sys
from types import SimpleNamespace
import torch
from llm.alignment import __main__
sys.modules["llm.alignment.methods.probe"] = SimpleNamespace(train=lambda *_: {_SAY})
{_SAY}
__main__._train(SimpleNamespace(method="probe"), None, None)
{_SAY}
"""


@pytest.mark.parametrize("program", [_PRETRAINING, _ALIGNMENT], ids=["pretraining", "alignment"])
def test_denormal_numbers_are_zero(program: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    before, meanwhile, after = map(float, said.stdout.split())
    assert before == after == pytest.approx(5e-43, rel=0.01)
    assert meanwhile == 0.0
