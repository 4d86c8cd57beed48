"""Removing attempts nobody needs: dry by default, and never what something points at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.engine import refs
from tasks.engine.artifact import recipe_folder
from tasks.engine.execute import published
from tasks.engine.lease import holder
from tasks.engine.manifest import Manifest
from tasks.engine.store import Store


@dataclass(frozen=True)
class Candidate:
    """An attempt, or the checkpoints of one, that may go.

    Attributes:
        folder: relative to the store.
        why: "superseded"; "unfinished" = what the next run would go on from.
    """

    folder: str
    why: str
    bytes: int


def _attempts(store: Store) -> Iterator[tuple[str, str, str, Manifest | None]]:
    for stage in store.names("artifacts"):
        for recipe in store.names(f"artifacts/{stage}"):
            for attempt in store.names(f"artifacts/{stage}/{recipe}"):
                if attempt.isdigit():
                    artifact = published(store, stage, recipe, attempt)
                    yield stage, recipe, attempt, artifact.manifest if artifact else None


def _held(store: Store, stage: str, recipe: str) -> bool:
    current = holder(store, f"{recipe_folder(stage, recipe)}/lease")
    return current is not None and not current.free()


def collect(store: Store, keep_last: int, unfinished: bool = False) -> list[Candidate]:
    """What may be removed.

    Kept are: everything a pointer means, and all it was made from; the `keep_last` newest
    attempts of each stage; every recipe whose lease is held, finished or not; and shards and
    checkpoints a stopped run left, unless these are asked for.
    """
    every = list(_attempts(store))
    manifests = {(m.stage, m.recipe_id[:16], m.attempt): m for _, _, _, m in every if m is not None}
    kept: set[tuple[str, str, str]] = set()
    waiting = [(s, r[:16], a) for s, r, a in refs.pointed(store)]
    for stage in {stage for stage, *_ in every}:
        newest = sorted(
            (m for m in manifests.values() if m.stage == stage),
            key=lambda m: m.timings.started,
            reverse=True,
        )
        waiting += [(m.stage, m.recipe_id[:16], m.attempt) for m in newest[:keep_last]]
    while waiting:
        key = waiting.pop()
        if key in kept or key not in manifests:
            continue
        kept.add(key)
        parents = manifests[key].inputs.values()
        waiting += [(p.stage, p.recipe_id[:16], p.attempt) for p in parents]
    found = []
    finished: dict[tuple[str, str], str] = {}
    for stage, recipe, attempt in manifests:
        finished[stage, recipe] = max(attempt, finished.get((stage, recipe), ""))
    for stage, recipe, attempt, manifest in every:
        if (stage, recipe, attempt) in kept or _held(store, stage, recipe):
            continue
        stopped = manifest is None and attempt > finished.get((stage, recipe), "")
        if unfinished or not stopped:
            why = "unfinished" if stopped else "superseded"
            found.append(_candidate(store, f"{recipe_folder(stage, recipe)}/{attempt}", why))
    if unfinished:
        found += _scratch(store)
    return found


def _scratch(store: Store) -> Iterator[Candidate]:
    for stage in store.names("artifacts"):
        for recipe in store.names(f"artifacts/{stage}"):
            folder = f"{recipe_folder(stage, recipe)}/scratch"
            if store.exists(folder) and not _held(store, stage, recipe):
                yield _candidate(store, folder, "unfinished")


def _candidate(store: Store, folder: str, why: str) -> Candidate:
    return Candidate(folder, why, sum(store.size(path) or 0 for path in store.files(folder)))


def remove(store: Store, candidates: list[Candidate]) -> None:
    """Remove attempts, manifest first, so that no reader meets half of one."""
    for candidate in candidates:
        folder = candidate.folder.rsplit("/", 1)[0]
        pointer = store.read_json(f"{folder}/current.json")
        if pointer is not None and pointer["attempt"] == candidate.folder.rsplit("/", 1)[1]:
            store.remove(f"{folder}/current.json")
        store.remove(f"{candidate.folder}/manifest.json")
        store.remove(candidate.folder)
        if not any(name.isdigit() or name == "scratch" for name in store.names(folder)):
            store.remove(folder)
