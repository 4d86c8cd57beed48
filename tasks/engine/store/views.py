"""What is shown of an artifact, as it was kept beside its manifest when it was published."""

from __future__ import annotations

import json

from tasks.engine.errors import DamagedArtifactError
from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import StageView, Table
from tasks.panels.stored import PanelsFormatError, loads

FILE = "panels.json"
CONFIG_COLUMNS = ("field", "value", "default", "what it is")


def kept_view(artifact: Artifact) -> StageView | None:
    """What is shown of a published artifact; `None` if it was published before that was kept.

    Raises:
        DamagedArtifactError: the file is not what this version of Ingot reads.
    """
    path = f"{artifact.folder}/{FILE}"
    try:
        return loads(artifact.store.read(path))
    except FileNotFoundError:
        return None
    except PanelsFormatError as error:
        raise DamagedArtifactError(
            f"{artifact.store.full(path)}: {error}; `ingot run --force {artifact.stage}` builds "
            "the artifact again"
        ) from error


def without_panels(artifact: Artifact) -> StageView:
    """What can be shown of an artifact that was published without panels: its config."""
    rows = [(name, as_text(value), "", "") for name, value in artifact.manifest.config.items()]
    return StageView(advice(artifact), Table("Config", CONFIG_COLUMNS, rows), ())


def advice(artifact: Artifact) -> str:
    """How an artifact comes by its panels."""
    return (
        f"{artifact.stage} was built by a version of Ingot that kept no panels with it; "
        f"`ingot run --force {artifact.stage}` builds it again, with panels."
    )


def as_text(value: object) -> str:
    """A value of a config as people read it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
