"""The flows of single stages, made when they are asked for."""

from __future__ import annotations

import pytest
from prefect.flows import load_flow_from_entrypoint

from flows import stages
from llm.process.safe_path import CHECKOUT


def test_a_worker_finds_the_flow_of_a_stage_and_of_nothing_else() -> None:
    found = load_flow_from_entrypoint(f"{CHECKOUT}/flows/stages.py:dedup")
    assert found.name == "dedup"
    assert "config" in found.parameters.properties
    assert stages.dedup is stages.dedup
    with pytest.raises(AttributeError, match="no attribute 'dedupe'"):
        _ = stages.dedupe
