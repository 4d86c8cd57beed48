"""Two homes that start at the same moment: each has a server, and its runs are in its database."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from tests.flows.command import COMMAND, RECIPE, ingot, surroundings


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[list[dict[str, str]]]:
    """The environments of both."""
    found = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        found.append(surroundings(tmp_path / name))
    yield found
    for environment in found:
        ingot(environment, "down")


def runs(address: str) -> list[tuple[str, str]]:
    """Name of the flow and state of every run a server knows."""
    with SyncPrefectClient(f"{address}/api") as client:
        names = {flow.id: flow.name for flow in client.read_flows()}
        return [(names[run.flow_id], str(run.state_name)) for run in client.read_flow_runs()]


@pytest.mark.long
def test_each_run_is_in_its_own_database(homes: list[dict[str, str]]) -> None:
    started = [
        subprocess.Popen(
            [*COMMAND, "run", "--recipe", RECIPE],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for environment in homes
    ]
    printed = [process.communicate(timeout=280)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(printed)
    addresses = [re.findall(r"Prefect UI: (http://\S+) \(started", text)[0] for text in printed]
    assert addresses[0] != addresses[1]
    for address in addresses:
        assert runs(address) == [("build", "Completed")]
    ingot(homes[0], "down")
    assert runs(addresses[1]) == [("build", "Completed")]
