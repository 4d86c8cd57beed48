"""One Prefect server for the flow tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.testing.utilities import prefect_test_harness


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    # Starting it takes ten seconds on an idle machine and minutes on a busy one.
    with prefect_test_harness(server_startup_timeout=280):
        yield
