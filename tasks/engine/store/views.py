"""What is shown of an artifact, as it was kept beside its manifest when it was published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tasks.engine.errors import DamagedArtifactError
from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import StageView, Table
from tasks.panels.stored import PanelsFormatError, loads

FILE = "panels.json"
CONFIG_COLUMNS = ("field", "value", "default", "what it is")


def kept_view(artifact: Artifact) -> StageView | None:
    """What is shown of a published artifact; `None` if it was published before that was kept.

    Raises:
        DamagedArtifactError: the file is missing, of another artifact, or not what this version of
            Ingot reads.
    """
    path, recorded = f"{artifact.folder}/{FILE}", artifact.manifest.panels
    try:
        written = artifact.store.read(path)
    except FileNotFoundError:
        if recorded is None:
            return None
        raise _damaged_error(artifact, "missing") from None
    except OSError as error:
        raise _damaged_error(artifact, f"cannot be read ({error})") from error
    try:
        view = loads(written)
    except (PanelsFormatError, RecursionError) as error:
        raise _damaged_error(artifact, str(error)) from error
    if recorded is not None and hashlib.sha256(written).hexdigest() != recorded.sha256:
        raise _damaged_error(artifact, "not the bytes that were published")
    if [row[:2] for row in view.config.rows] != _config(artifact):
        raise _damaged_error(artifact, "of another artifact: it shows another config")
    return view


def _damaged_error(artifact: Artifact, why: str) -> DamagedArtifactError:
    return DamagedArtifactError(
        f"{artifact.store.full(f'{artifact.folder}/{FILE}')}: {why}; `ingot run --force "
        f"{artifact.stage}` builds the artifact again"
    )


def _config(artifact: Artifact) -> list[tuple[str, str]]:
    return [(name, as_text(value)) for name, value in artifact.manifest.config.items()]


def without_panels(artifact: Artifact) -> StageView:
    """What can be shown of an artifact that was published without panels: its config."""
    rows = [(*shown, "", "") for shown in _config(artifact)]
    return StageView(advice(artifact), Table("Config", CONFIG_COLUMNS, rows), ())


def advice(artifact: Artifact) -> str:
    """How an artifact comes by its panels."""
    return (
        f"{artifact.stage} was built by a version of Ingot that kept no panels with it; "
        f"`ingot run --force {artifact.stage} --force report` builds it and the report "
        "again, with panels."
    )


def as_text(value: object) -> str:
    """A value of a config as people read it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts and lists as one level: `rules.0.minimum` -> value."""
    if isinstance(value, Mapping):
        pairs = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        pairs = [(str(index), item) for index, item in enumerate(value)]
    else:
        return {prefix: value}
    merged: dict[str, Any] = {}
    for key, item in pairs:
        merged.update(flat(item, f"{prefix}.{key}" if prefix else key))
    return merged
