"""The loss of a stage as it goes, in the UI and in the terminal."""

from __future__ import annotations

import time
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from flows.cli.terminal import Bar
from tasks import runner
from tasks.runner import PrefectListener


@pytest.mark.usefixtures("prefect_server")
def test_one_artifact_is_drawn_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(runner, "_CURVE_SECONDS", 0.0)

    @flow(name="curve")
    def training() -> None:
        listener = PrefectListener()
        for step in range(1, 20):
            listener.progress("pretrain", step, 40, "step", {"loss": 9.0 - step / 10})
        deadline = time.monotonic() + 60
        while listener._chart is None and time.monotonic() < deadline:
            time.sleep(0.05)
        listener.progress("pretrain", 40, 40, "step", {"loss": 1.25})
        listener.close()

    training()
    with get_client(sync_client=True) as client:
        found = [a for a in client.read_artifacts() if a.key == "curve-pretrain"]
    assert len(found) == 1
    assert str(found[0].data).startswith("loss 1.25\n\n```\n")
    assert found[0].type == "markdown"


def test_a_stage_without_a_loss_has_no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    bar = Bar()
    monkeypatch.setattr(bar._progress, "update", lambda *_, **named: shown.append(named["figures"]))
    for done in range(1, 5):
        bar.progress("clean", done, 9, "shard", {"pages_per_second": 5.0})
    for step in range(1, 5):
        bar.progress("pretrain", step, 9, "step", {"loss": 9.0 - step})
    bar.progress("sft", 1, 9, "step", {"loss": 2.0})
    assert shown[3] == "5 pages/s"
    assert shown[4] == "loss 8"
    assert shown[7] == "█▆▃▁ loss 5"
    assert shown[8] == "loss 2"
