"""What is published of a stage, and whether it is whole."""

from __future__ import annotations

import functools

from tasks.engine.config import StageConfig
from tasks.engine.store.artifact import Artifact, attempt_folder, build_folder
from tasks.engine.store.listing import file_sizes, is_listing_whole, listing_path
from tasks.engine.store.manifest import Manifest
from tasks.engine.store.store import Store


def current(store: Store, stage: str, build: str) -> Artifact | None:
    """The attempt in force for a recipe, or `None`; its files are not looked at."""
    pointer = store.read_json(f"{build_folder(stage, build)}/current.json")
    return None if pointer is None else published(store, stage, build, pointer["attempt"])


def published(store: Store, stage: str, build: str, attempt: str) -> Artifact | None:
    """One attempt, if it has a manifest."""
    try:
        written = store.read(f"{attempt_folder(stage, build, attempt)}/manifest.json")
    except FileNotFoundError:
        return None
    return Artifact(store, _manifest(written))


@functools.lru_cache(maxsize=1024)
def _manifest(written: bytes) -> Manifest:
    """Read once: a plan and a run look at each of them a dozen times, and none ever changes."""
    return Manifest.model_validate_json(written)


def damage(artifact: Artifact, marks: bool = True) -> list[str]:
    """Files that are missing, of another size, or marked by `verify --deep`: fast, of parts none is
    hashed. Lists of files are, and one that is not what was published stands for its files.

    Args:
        marks: look at what was marked too.
    """
    store, folder = artifact.store, artifact.folder
    found = [
        listing_path(listing)
        for listing in artifact.manifest.listings()
        if not is_listing_whole(store, folder, listing)
    ]
    for name, output in artifact.manifest.outputs.items():
        if output.listing is not None and listing_path(output.listing) in found:
            continue
        wanted = file_sizes(store, folder, output)
        there = store.sizes(f"{folder}/{name}", wanted)
        if not wanted.items() <= there.items():
            found += [f"{name}/{p}" for p, size in wanted.items() if there.get(p) != size]
    marked = store.read_json(f"{artifact.folder}/damaged.json") if marks else None
    return sorted({*found, *(marked or [])})


def failed_shards(artifact: Artifact, config: StageConfig) -> list[str]:
    """Shards it was published without, where that is more of them than the config allows now."""
    failed: dict[str, str] = artifact.facts.get("failed_shards", {})
    allowed = int(getattr(config, "max_failed_shards", 0))
    return sorted(failed) if len(failed) > allowed else []


def sound(store: Store, stage: str, build: str, config: StageConfig) -> Artifact | None:
    """The attempt in force, if it is whole."""
    artifact = current(store, stage, build)
    if artifact is None or damage(artifact) or failed_shards(artifact, config):
        return None
    return artifact
