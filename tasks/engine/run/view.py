"""What a stage shows of what it has just made, kept with it."""

from __future__ import annotations

import hashlib

from pydantic_core import PydanticUndefined

from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.manifest import File
from tasks.engine.store.views import CONFIG_COLUMNS, FILE, as_text
from tasks.panels.panels import Cell, StageView, Table
from tasks.panels.stored import dumps


def keep_view(stage: Stage, artifact: Artifact) -> File:
    """Write a stage's description, config and panels into the folder of an attempt; the file.

    Args:
        artifact: about to be published: all of it is in place but the manifest.

    Raises:
        PanelsFormatError: a panel holds something other than plain values.
        Exception: whatever `stage.panels` raises. A note on either names the stage.
    """
    try:
        written = dumps(_view(stage, artifact))
    except Exception as error:
        error.add_note(f"{stage.name}: its panels could not be made, so nothing was published.")
        raise
    artifact.store.create(f"{artifact.folder}/{FILE}", written)
    digest = hashlib.sha256(written).hexdigest()
    return File(path=FILE, rows=None, bytes=len(written), sha256=digest)


def _view(stage: Stage, artifact: Artifact) -> StageView:
    config = Table("Config", CONFIG_COLUMNS, _config(stage, artifact))
    return StageView(stage.description, config, stage.panels(artifact))


def _config(stage: Stage, artifact: Artifact) -> list[list[Cell]]:
    """Field, value, the default where it is another, and the field's description."""
    fields = stage.config.model_fields
    rows: list[list[Cell]] = []
    for name, value in artifact.manifest.config.items():
        field = fields[name]
        default = field.get_default(call_default_factory=True)
        usual = "" if default in (PydanticUndefined, value) else as_text(default)
        rows.append([name, as_text(value), usual, field.description or ""])
    return rows
