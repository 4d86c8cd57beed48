"""The table every training stage writes: one figure of one step a row."""

from __future__ import annotations

from tasks.engine.store.artifact import Artifact


def metric_points(artifact: Artifact) -> dict[str, list[tuple[float, float]]]:
    """(step, value) points of each metric, in the order they were written."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in artifact.data("metrics").table().to_pylist():
        points.setdefault(row["name"], []).append((row["step"], row["value"]))
    return points
