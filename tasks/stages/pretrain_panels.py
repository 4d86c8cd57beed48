"""What `pretrain` shows: the run in figures, what went wrong in it, and its curves."""

from __future__ import annotations

from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Curve, Panel, Table
from tasks.stages.metrics import metric_points


def _chances(artifact: Artifact) -> str:
    """What a draw among the choices of each task scores."""
    tasks = artifact.facts["tasks"]["tasks"]
    said = ", ".join(
        f"{name} {task['chance']:.2f} ({task['items']} items)" for name, task in tasks.items()
    )
    return f"A draw scores {said}."


def panels(artifact: Artifact) -> list[Panel]:
    """The run in figures, and its curves."""
    points = metric_points(artifact)
    training = artifact.facts["training"]
    shown: list[Panel] = [
        Table(
            "Training",
            ["", "value"],
            [[name, value] for name, value in training.items() if name != "sources"],
        )
    ]
    if sources := training.get("sources"):
        columns = ["source", "tokens", "epochs"]
        rows = [[each[column] for column in columns] for each in sources]
        shown.append(Table("Tokens by source", columns, rows, "As the mixture took them."))
    if events := artifact.facts.get("events"):  # of an earlier version there are none
        names = ("step", "event", "loss", "gradient_norm", "detail")
        rows = [[event[name] for name in names] for event in events]
        columns = [name.replace("_", " ") for name in names]
        shown.append(Table("Events", columns, rows, "Steps that were not taken, and why."))
    losses = {"train": points.get("loss", []), "validation": points.get("validation_loss", [])}
    shown.append(
        Curve(
            "Loss",
            "step",
            "nats a token",
            {name: series for name, series in losses.items() if series},
        )
    )
    if "validation_bits_per_byte" in points:
        curve = {"validation": points["validation_bits_per_byte"]}
        shown.append(Curve("Bits per byte", "step", "bits per byte", curve))
    asked = {name: series for name, series in points.items() if "/" in name}
    if asked:
        shown.append(Curve("Tasks", "step", "share right", asked, note=_chances(artifact)))
    for name, title in (("learning_rate", "Learning rate"), ("gradient_norm", "Gradient norm")):
        if name in points:
            shown.append(Curve(title, "step", "", {title.lower(): points[name]}))
    return shown
