"""Checking published bytes: sizes always, hashes when asked to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from tasks.engine.errors import (
    DamagedArtifactError,
    ReadOnlyStoreError,
    StoreError,
    StoreFullError,
)
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.listing import files_of, listing_path
from tasks.engine.store.published import current, damage, published
from tasks.engine.store.store import Store
from tasks.engine.store.views import FILE as PANELS
from tasks.engine.store.views import kept_view


def artifacts(store: Store) -> Iterator[Artifact]:
    """The attempt in force of every recipe of every stage, and those that channels point at."""
    seen = set()
    for stage in store.names("artifacts"):
        for build in store.names(f"artifacts/{stage}"):
            artifact = current(store, stage, build)
            if artifact is not None:
                seen.add(artifact.folder)
                yield artifact
    for stage, build, attempt in sorted(channels.channel_targets(store)):
        artifact = published(store, stage, build, attempt)
        if artifact is not None and artifact.folder not in seen:
            seen.add(artifact.folder)
            yield artifact


def verify(
    store: Store,
    deep: bool,
    progress: Callable[[Artifact], None] = lambda _: None,
    unmarked: Callable[[StoreError], None] = lambda _: None,
) -> dict[str, list[str]]:
    """Damaged files by artifact folder, `PANELS` among them: what is shown of the artifact is
    missing, is of another one, or cannot be read.

    With `deep` every byte is hashed, and an artifact found damaged is marked, so that plans show
    it and the next run rebuilds what is broken; a mark that no longer holds is taken away. Panels
    alone are no reason to build anything again, and are not marked.

    Args:
        unmarked: told why an artifact could not be marked: a store may be read only, or full.
    """
    found: dict[str, list[str]] = {}
    for artifact in artifacts(store):
        progress(artifact)
        if deep:
            missing = set(damage(artifact, marks=False))
            broken = sorted(missing | set(_wrong_bytes(artifact, missing)))
            try:
                _mark(artifact, broken)
            except (ReadOnlyStoreError, StoreFullError) as error:
                unmarked(error)
        else:
            broken = damage(artifact)
        if not _has_panels(artifact):
            broken = [*broken, PANELS]
        if broken:
            found[artifact.folder] = broken
    return found


def _has_panels(artifact: Artifact) -> bool:
    """Whether what was kept to be shown of it is whole, and its own."""
    try:
        kept_view(artifact)
    except DamagedArtifactError:
        return False
    return True


def _mark(artifact: Artifact, broken: list[str]) -> None:
    store, mark = artifact.store, f"{artifact.folder}/damaged.json"
    if broken == (store.read_json(mark) or []):
        return
    if broken:
        store.replace(mark, json.dumps(broken).encode())
    else:
        store.remove(mark)


def _wrong_bytes(artifact: Artifact, known: set[str]) -> Iterator[str]:
    for name, output in artifact.manifest.outputs.items():
        if output.listing is not None and listing_path(output.listing) in known:
            continue
        for file in files_of(artifact.store, artifact.folder, output):
            path = f"{name}/{file.path}"
            if path in known:
                continue
            if artifact.store.digest(f"{artifact.folder}/{path}") != file.sha256:
                yield path
