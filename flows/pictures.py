"""Pictures for Prefect's pages: SVG files that the report server serves.

A picture lies in a folder named as the attempt it shows, and `ingot gc` removes it with, or after,
that attempt. A picture of a lineage, a funnel or an experiment shows no attempt; of these the ones
shown last stay.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Container, Iterable
from pathlib import Path

from flows.reports import PICTURES, report_address, shown_folder
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.panels.panels import Flow, Graph, Panel
from tasks.panels.pictures import picture

_ARTIFACTS = "artifacts/"
_LINEAGE, _FUNNEL, _EXPERIMENT = "lineage", "funnel", "experiment"
_KEPT = 20  # of each
# What a process writes is whole long before.
_CUT_SHORT_SECONDS = 3600.0


def publish_picture(panel: Panel, artifact: Artifact) -> str | None:
    """The address of the picture of an artifact's panel; none where it has none or nobody serves
    it."""
    return _publish(panel, artifact.store, artifact.folder.removeprefix(_ARTIFACTS))


def publish_lineage(graph: Graph, store: Store) -> str | None:
    """The same of a lineage."""
    return _publish(graph, store, _LINEAGE)


def publish_funnel(flow: Flow, store: Store) -> str | None:
    """The same of documents on their way through the stages."""
    return _publish(flow, store, _FUNNEL)


def publish_experiment(flow: Flow, store: Store) -> str | None:
    """The same of what an experiment says of a funnel."""
    return _publish(flow, store, _EXPERIMENT)


def _publish(panel: Panel, store: Store, place: str) -> str | None:
    address = report_address(store)
    drawn = picture(panel) if address else ""
    if not drawn:
        return None
    data = drawn.encode()
    # Named by its bytes, so what was drawn before is written once.
    name = f"{hashlib.sha256(data).hexdigest()[:24]}.svg"
    folder = shown_folder() / PICTURES / place
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / name).exists():
        os.utime(folder / name)
    else:
        written = folder / f"{name}.{os.getpid()}"
        written.write_bytes(data)
        written.replace(folder / name)
    return f"{address}/{PICTURES}/{place}/{name}"


def outdated(store: Store, going: Container[str] = ()) -> list[Path]:
    """Pictures that may go: all but those of attempts in the store, and the last of lineages,
    funnels and experiments.

    Args:
        going: folders of attempts that are about to be removed, relative to the store.
    """
    if not store.local:
        return []  # those here are of another store
    root = shown_folder() / PICTURES
    found: list[Path] = []
    last: dict[str, list[Path]] = {_LINEAGE: [], _FUNNEL: [], _EXPERIMENT: []}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        place = path.parent.relative_to(root).as_posix()
        attempt = f"{_ARTIFACTS}{place}"
        if path.suffix != ".svg":
            if time.time() - path.stat().st_mtime > _CUT_SHORT_SECONDS:
                found.append(path)
        elif place in last:
            last[place].append(path)
        elif attempt in going or not store.exists(f"{attempt}/manifest.json"):
            found.append(path)
    for paths in last.values():
        paths.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        found += paths[_KEPT:]
    return found


def take_down(pictures: Iterable[Path]) -> None:
    """Remove pictures, and the folders that are empty without them."""
    root = shown_folder() / PICTURES
    for path in pictures:
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == root:
                break
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
