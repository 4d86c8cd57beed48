"""Movable pointers: which artifact of a stage a recipe means by "latest" or "prod"."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from tasks.engine.errors import IngotError
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import published
from tasks.engine.store.store import Store

LATEST = "latest"
_NAME = re.compile(r"[\w-]+")  # part of a path


class PointerNameError(IngotError):
    """A recipe or a channel was asked for by what can be no name of one."""


def _path(recipe: str, stage: str, channel: str) -> str:
    for name, what in ((recipe, "recipe"), (channel, "channel")):
        if not _NAME.fullmatch(name):
            raise PointerNameError(
                f"{name[:80]!r} is no name of a {what}; one has letters, digits, - and _ alone"
            )
    return f"refs/{recipe}/{stage}/{channel}.json"


def point(
    store: Store,
    recipe: str,
    artifact: Artifact,
    channel: str = LATEST,
    changed: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Make `channel` of a recipe's stage mean this artifact.

    Args:
        changed: fields, as JSON values, that were not what the recipe says when it was built.
    """
    manifest = artifact.manifest
    wanted: dict[str, Any] = {"build_id": manifest.build_id, "attempt": manifest.attempt}
    if changed:
        wanted["changed"] = dict(changed)
    path = _path(recipe, manifest.stage, channel)
    if store.read_json(path) != wanted:
        store.replace(path, json.dumps(wanted).encode())


def resolve(store: Store, recipe: str, stage: str, channel: str = LATEST) -> Artifact | None:
    """The artifact a pointer means, or `None` if there is none (any more)."""
    target = store.read_json(_path(recipe, stage, channel))
    if target is None:
        return None
    return published(store, stage, target["build_id"], target["attempt"])


def changed_fields(store: Store, recipe: str, stage: str) -> dict[str, Any]:
    """The fields that were not what the recipe says when its latest artifact was built."""
    target = store.read_json(_path(recipe, stage, LATEST))
    found: dict[str, Any] = (target or {}).get("changed", {})
    return found


def start_from(store: Store, recipe: str, other: str, stages: Iterable[str]) -> None:
    """What one recipe built last is what another, that built nothing yet, starts from."""
    for stage in stages:
        artifact = resolve(store, other, stage)
        if artifact is not None and resolve(store, recipe, stage) is None:
            point(store, recipe, artifact)


def channel_targets(store: Store) -> set[tuple[str, str, str]]:
    """(stage, build_id, attempt) of everything some pointer means."""
    found = set()
    for path in store.files("refs"):
        target = store.read_json(path)
        if target is not None:
            found.add((path.split("/")[2], target["build_id"], target["attempt"]))
    return found
