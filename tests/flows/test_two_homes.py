"""Two homes that start at the same moment: each has a server, and its runs are in its database."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient

from tests.flows.pages import write_page, write_recipe

COMMAND = (sys.executable, "-c", "from flows.cli.main import main; main()")


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[list[dict[str, str]]]:
    """The environments of both."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    found = []
    for name in ("one", "other"):
        root = tmp_path / name
        for topic in ("Severn", "Tweed", "Thames"):
            write_page(root / "pages", f"{topic}.html", topic)
        write_recipe(root / "rivers.yaml", root / "pages")
        places = {"INGOT_ROOT": str(root), "INGOT_HOME": str(root / "home")}
        found.append({**known, "PYTHONPATH": path, **places})
    yield found
    for environment in found:
        subprocess.run([*COMMAND, "down"], env=environment, timeout=120, check=False)


def runs(address: str) -> list[tuple[str, str]]:
    """Name of the flow and state of every run a server knows."""
    with SyncPrefectClient(f"{address}/api") as client:
        names = {flow.id: flow.name for flow in client.read_flows()}
        return [(names[run.flow_id], str(run.state_name)) for run in client.read_flow_runs()]


@pytest.mark.long
def test_each_run_is_in_its_own_database(homes: list[dict[str, str]]) -> None:
    started = [
        subprocess.Popen(
            [*COMMAND, "run", "--recipe", "rivers.yaml"],
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
    subprocess.run([*COMMAND, "down"], env=homes[0], timeout=120, check=True)
    assert runs(addresses[1]) == [("build", "Completed")]
