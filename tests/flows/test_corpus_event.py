"""Of a corpus an event tells its tokens, and how many are new."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows import events
from tasks.engine.store.manifest import Totals


def packed(tokens: int) -> Any:
    manifest = SimpleNamespace(
        stage="pack",
        build_id=f"{tokens:064x}",
        attempt="0001",
        totals=Totals(rows_in=tokens, kept=tokens, removed={"short": 2}, unit="token"),
        timings=SimpleNamespace(seconds=1.0),
    )
    splits = {"train": {"tokens": tokens, "documents": 3}}
    return cast("Any", SimpleNamespace(manifest=manifest, facts={"splits": splits}))


def test_new_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    monkeypatch.setattr(
        events,
        "emit_event",
        lambda name, resource, payload: told.append((name, resource, payload)),
    )
    events.published("mine", packed(1500), packed(1000))
    events.published("mine", packed(900), None)
    assert [name for name, _, _ in told] == [events.STAGE, events.CORPUS] * 2
    _, resource, payload = told[1]
    assert resource["prefect.resource.id"] == "ingot.mine.pack"
    assert (payload["train_tokens"], payload["new_train_tokens"]) == (1500, 500)
    assert (payload["unit"], payload["removed"]) == ("token", 2)
    assert told[3][2]["new_train_tokens"] == 900
