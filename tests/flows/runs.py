"""Waiting for a flow run of a worker."""

from __future__ import annotations

import time

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun


def finished(client: SyncPrefectClient, run: FlowRun) -> FlowRun:
    """The run once it has ended, within three minutes."""
    deadline = time.monotonic() + 180
    while True:
        now = client.read_flow_run(run.id)
        if now.state is not None and now.state.is_final():
            return now
        assert time.monotonic() < deadline, now.state
        time.sleep(1)
