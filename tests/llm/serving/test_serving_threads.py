"""Threads of a served model: one for small ones, whatever the machine has."""

from __future__ import annotations

from llm.serving.threads import threads_for


def test_the_largest_model_decides() -> None:
    assert threads_for([1_300_000], 16) == 1
    assert threads_for([1_300_000, 124_000_000], 16) == 16
    assert threads_for([124_000_000], 1) == 1
