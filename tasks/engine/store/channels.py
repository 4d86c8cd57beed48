"""Movable pointers: which artifact of a stage a recipe means by "latest" or "prod"."""

from __future__ import annotations

import json
import re

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


def point(store: Store, recipe: str, artifact: Artifact, channel: str = LATEST) -> None:
    """Make `channel` of a recipe's stage mean this artifact."""
    manifest = artifact.manifest
    wanted = {"build_id": manifest.build_id, "attempt": manifest.attempt}
    path = _path(recipe, manifest.stage, channel)
    if store.read_json(path) != wanted:
        store.replace(path, json.dumps(wanted).encode())


def resolve(store: Store, recipe: str, stage: str, channel: str = LATEST) -> Artifact | None:
    """The artifact a pointer means, or `None` if there is none (any more)."""
    target = store.read_json(_path(recipe, stage, channel))
    if target is None:
        return None
    return published(store, stage, target["build_id"], target["attempt"])


def channel_targets(store: Store) -> set[tuple[str, str, str]]:
    """(stage, build_id, attempt) of everything some pointer means."""
    found = set()
    for path in store.files("refs"):
        target = store.read_json(path)
        if target is not None:
            found.add((path.split("/")[2], target["build_id"], target["attempt"]))
    return found
