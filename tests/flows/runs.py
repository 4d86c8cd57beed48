"""Flow runs: waiting for one of a worker, and what one shows."""

from __future__ import annotations

import time
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.states import State


def finished(client: SyncPrefectClient, run: FlowRun, seconds: float = 180.0) -> FlowRun:
    """The run once it has ended, which it must in time."""
    deadline = time.monotonic() + seconds
    while True:
        now = client.read_flow_run(run.id)
        if now.state is not None and now.state.is_final():
            return now
        assert time.monotonic() < deadline, now.state
        time.sleep(1)


def artifacts(state: State[Any]) -> dict[str | None, Any]:
    """The data of the artifacts of a flow run, by key, which no two of them have."""
    run = ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id])
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=run))
    keyed = [artifact for artifact in found if artifact.key is not None]
    shown = {artifact.key: artifact.data for artifact in keyed}
    assert len(shown) == len(keyed), sorted(str(artifact.key) for artifact in keyed)
    return shown
