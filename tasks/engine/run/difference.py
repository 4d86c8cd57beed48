"""What differs between two builds of a stage, in words: fields, inputs, files from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tasks.engine.config import StageConfig
from tasks.engine.errors import DamagedArtifactError
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.run.execute import BuildRequest
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.manifest import InputRecord, Manifest
from tasks.engine.store.views import flat


def config_difference(before: Manifest, version: int, config: StageConfig) -> list[str]:
    """Fields whose identity-bearing value changed, as "field: old -> new"."""
    return [
        *(
            [f"version: {before.code.version} -> {version}"]
            if before.code.version != version
            else []
        ),
        *value_difference(before.config, config.identity()),
    ]


def value_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Every leaf that differs between two configs."""
    old, new = flat(before), flat(after)
    missing = object()
    changes = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key, missing), new.get(key, missing)
        if was != now or type(was) is not type(now):
            shown = ["(absent)" if value is missing else repr(value) for value in (was, now)]
            changes.append(f"{key}: {shown[0]} -> {shown[1]}")
    return changes


def settings(stage: str, fields: Mapping[str, Any]) -> list[str]:
    """Fields, of JSON values, as `--set` takes them: `stage.field=value`."""
    return [f"{stage}.{name}={json.dumps(value)}" for name, value in fields.items()]


def difference(before: Artifact, request: BuildRequest) -> list[str]:
    """Why a request is not what an artifact was made from."""
    reasons = [
        *config_difference(before.manifest, request.stage.version, request.config),
        *input_difference(before.manifest.inputs, request.records()),
        *external_difference(before, request.externals),
    ]
    return reasons or ["never built with these inputs"]


def input_difference(
    before: Mapping[str, InputRecord], after: Mapping[str, InputRecord | None]
) -> list[str]:
    """Inputs from other stages that are new, gone or of other bytes."""
    reasons = []
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was is None or now is None:
            reasons.append(f"input {name}: {'added' if was is None else 'no longer there'}")
        elif was.data_id != now.data_id:
            reasons.append(f"input {name}: {now.stage}.{now.output} changed")
    return reasons


def external_difference(before: Artifact, after: Mapping[str, Snapshot]) -> list[str]:
    """Files and other things outside the store that are new, gone or of other bytes."""
    reasons = []
    records = before.manifest.externals
    for name in sorted(records.keys() | after.keys()):
        if name in records and name in after and records[name].data_id == after[name].data_id:
            continue  # neither list need be read
        try:
            old = before.external_items(name) if name in records else []
        except DamagedArtifactError:
            reasons.append(f"{name}: changed; the list of what was read is damaged")
            continue
        new = after[name].items if name in after else ()
        was_items = {item.name: item.sha256 for item in old}
        now_items = {item.name: item.sha256 for item in new}
        for label, names in (
            ("new", now_items.keys() - was_items.keys()),
            ("gone", was_items.keys() - now_items.keys()),
            ("changed", {n for n in was_items.keys() & now_items if was_items[n] != now_items[n]}),
        ):
            if names:
                shown = sorted(names)
                more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
                reasons.append(f"{name}: {label} {', '.join(shown[:3])}{more}")
    return reasons
