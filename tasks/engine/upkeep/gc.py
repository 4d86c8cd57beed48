"""Removing attempts nobody needs: dry by default, and never what something points at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.engine.shards.attempt import leftovers
from tasks.engine.store import channels
from tasks.engine.store.artifact import build_folder
from tasks.engine.store.lease import holder
from tasks.engine.store.manifest import Manifest
from tasks.engine.store.published import published
from tasks.engine.store.store import Store
from tasks.panels.numbers import size


@dataclass(frozen=True)
class Candidate:
    """An attempt, or a folder of one, that may go.

    Attributes:
        folder: relative to the store.
        why: "superseded"; "left over" = by a run that was stopped, and no other can go on from it;
            "unfinished" = what the next run would go on from.
    """

    folder: str
    why: str
    bytes: int


def _attempts(store: Store) -> Iterator[tuple[str, str, str, Manifest | None]]:
    for stage in store.names("artifacts"):
        for build in store.names(f"artifacts/{stage}"):
            for attempt in store.names(f"artifacts/{stage}/{build}"):
                if attempt.isdigit():
                    artifact = published(store, stage, build, attempt)
                    yield stage, build, attempt, artifact.manifest if artifact else None


def _is_held(store: Store, stage: str, build: str) -> bool:
    current = holder(store, f"{build_folder(stage, build)}/lease")
    return current is not None and not current.free()


def collect(store: Store, keep_last: int, unfinished: bool = False) -> list[Candidate]:
    """What may be removed.

    Kept are: everything a pointer means, and all it was made from; the `keep_last` newest
    attempts of each stage; every recipe whose lease is held, finished or not; and shards and
    checkpoints a stopped run left, unless these are asked for. What it left beside them goes.
    """
    every = list(_attempts(store))
    manifests = {(m.stage, m.build_id[:16], m.attempt): m for _, _, _, m in every if m is not None}
    kept: set[tuple[str, str, str]] = set()
    waiting = [(s, r[:16], a) for s, r, a in channels.channel_targets(store)]
    for stage in {stage for stage, *_ in every}:
        newest = sorted(
            (m for m in manifests.values() if m.stage == stage),
            key=lambda m: m.timings.started,
            reverse=True,
        )
        waiting += [(m.stage, m.build_id[:16], m.attempt) for m in newest[:keep_last]]
    while waiting:
        key = waiting.pop()
        if key in kept or key not in manifests:
            continue
        kept.add(key)
        parents = manifests[key].parents.values()
        waiting += [(p.stage, p.build_id[:16], p.attempt) for p in parents]
    found = []
    finished: dict[tuple[str, str], str] = {}
    for stage, build, attempt in manifests:
        finished[stage, build] = max(attempt, finished.get((stage, build), ""))
    for stage, build, attempt, manifest in every:
        if (stage, build, attempt) in kept or _is_held(store, stage, build):
            continue
        folder = f"{build_folder(stage, build)}/{attempt}"
        if manifest is not None or attempt <= finished.get((stage, build), ""):
            found.append(_candidate(store, folder, "superseded"))
            continue
        useless = leftovers(store, folder)
        if unfinished and folder not in useless:
            found.append(_candidate(store, folder, "unfinished"))
        else:
            found += [_candidate(store, left, "left over") for left in useless]
    if unfinished:
        found += _scratch(store)
    return found


def _scratch(store: Store) -> Iterator[Candidate]:
    for stage in store.names("artifacts"):
        for build in store.names(f"artifacts/{stage}"):
            folder = f"{build_folder(stage, build)}/scratch"
            if store.exists(folder) and not _is_held(store, stage, build):
                yield _candidate(store, folder, "unfinished")


def _candidate(store: Store, folder: str, why: str) -> Candidate:
    return Candidate(folder, why, store.total_size(folder))


def freed_bytes(store: Store, candidates: Sequence[Candidate]) -> int:
    """Bytes their removal makes free: adopted shards lie on the disk once for several attempts."""
    paths = sorted({path for one in candidates for path in store.files(one.folder)})
    if not store.local:
        return sum(store.size(path) or 0 for path in paths)
    going: dict[tuple[int, int], int] = {}
    free = 0
    for path in paths:
        stat = store.local_path(path).stat()
        name = (stat.st_dev, stat.st_ino)
        going[name] = going.get(name, 0) + 1
        if going[name] == stat.st_nlink:
            free += stat.st_size
    return free


def advice(store: Store) -> str:
    """What `gc` would do about a full disk, in a sentence."""
    sure = collect(store, keep_last=1)
    some, most = (
        freed_bytes(store, sure),
        freed_bytes(store, collect(store, keep_last=1, unfinished=True)),
    )
    if not most:
        return "`ingot gc` finds nothing to remove: make room on that disk by other means"
    if not some:
        return (
            f"`ingot gc --apply --unfinished` would free {size(most)}, what stopped runs would go "
            "on from; else make room on that disk by other means. Then run again"
        )
    more = f", with --unfinished {size(most)}" if most > some else ""
    return f"`ingot gc --apply` would free {size(some)}{more}; then run again"


def remove(store: Store, candidates: Sequence[Candidate]) -> None:
    """Remove attempts, manifest first, so that no reader meets half of one."""
    for candidate in candidates:
        folder = "/".join(candidate.folder.split("/")[:3])  # of the recipe
        pointer = store.read_json(f"{folder}/current.json")
        if pointer is not None and f"{folder}/{pointer['attempt']}" == candidate.folder:
            store.remove(f"{folder}/current.json")
        store.remove(f"{candidate.folder}/manifest.json")
        store.remove(candidate.folder)
        if not any(name.isdigit() or name == "scratch" for name in store.names(folder)):
            store.remove(folder)
