"""One Prefect server for the flow tests of a session; a home of its own for those of commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from tests.flows.command import ingot, surroundings


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    # Starting it takes ten seconds on an idle machine and minutes on a busy one.
    with prefect_test_harness(server_startup_timeout=280):
        yield


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of commands on a home under `tmp_path`, where rivers.yaml lies; all is stopped behind."""
    variables = surroundings(tmp_path)
    yield variables
    ingot(variables, "down")
