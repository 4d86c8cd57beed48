"""Stages that would train on a GPU take turns; others wait for nobody."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from deployments.bootstrap import ensure_limits
from tasks import runner
from tasks.engine.config import StageConfig
from tasks.engine.store.store import Store
from tasks.stages.pack import PackConfig
from tasks.stages.pretrain_config import PretrainConfig


def order(config: StageConfig) -> Any:
    return SimpleNamespace(stage=SimpleNamespace(name="pretrain"), build_id="0" * 64, config=config)


@pytest.fixture
def limit(prefect_server: None) -> None:
    async def made() -> None:
        async with get_client() as client:
            await ensure_limits(client)

    asyncio.run(made())


def spans(store: Store, configs: list[StageConfig]) -> list[tuple[float, float]]:
    """When each of some stages, begun at once, held its place."""
    found: list[tuple[float, float]] = []

    def hold(config: StageConfig) -> None:
        with runner.gpu_slot(order(config), store, force=False):
            began = time.monotonic()
            time.sleep(1.0)
            found.append((began, time.monotonic()))

    threads = [threading.Thread(target=hold, args=[config]) for config in configs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == len(configs)
    return sorted(found)


def test_two_trainers_never_hold_the_gpu_at_once(
    limit: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "has_gpu", lambda: True)
    first, second = spans(Store(str(tmp_path)), [PretrainConfig(), PretrainConfig(seed=1)])
    assert second[0] >= first[1]


def test_work_on_the_cpu_waits_for_nobody(
    limit: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "has_gpu", lambda: True)
    configs = [PretrainConfig(device="cpu"), PackConfig(), PretrainConfig()]
    first, second, third = spans(Store(str(tmp_path)), configs)
    assert second[0] < first[1]
    assert third[0] < first[1]
    monkeypatch.setattr(runner, "has_gpu", lambda: False)
    first, second = spans(Store(str(tmp_path)), [PretrainConfig(), PretrainConfig(seed=1)])
    assert second[0] < first[1]
