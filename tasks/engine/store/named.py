"""Artifacts that a config names: `pretrain.resumable@3f9a0c12`, an output of a build."""

from __future__ import annotations

import re

from tasks.engine.errors import ExternalInputError
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import current
from tasks.engine.store.store import Store

_NAME = re.compile(r"([a-z]+)(?:\.([a-z_]+))?@([0-9a-f]{4,64})")
_SHOWN = 5


def is_named(text: str) -> bool:
    """Whether a text names an artifact, and not a path."""
    return _NAME.fullmatch(text) is not None


def named_artifact(store: Store, text: str, output: str, field: str) -> tuple[Artifact, str]:
    """The artifact a text of the form `stage.output@build id` names, the attempt in force, and the
    output.

    Args:
        text: the build id may be cut short; without an output it means `output`.
        field: of the config, for messages.

    Raises:
        ExternalInputError: none of that name is there, or several are, or it lacks the output.
    """
    matched = _NAME.fullmatch(text)
    assert matched is not None
    stage, named, build = matched[1], matched[2] or output, matched[3]
    known = store.names(f"artifacts/{stage}")
    alike = [name for name in known if name.startswith(build[:16])]
    found = [artifact for name in alike if (artifact := current(store, stage, name)) is not None]
    found = [artifact for artifact in found if artifact.manifest.build_id.startswith(build)]
    if not found:
        there = ", ".join(known[:_SHOWN]) or "none"
        raise ExternalInputError(
            f"{field}: {store.url} has no finished artifact {text}; of {stage} it has {there}"
        )
    if len(found) > 1:
        ids = ", ".join(artifact.manifest.build_id[:16] for artifact in found[:_SHOWN])
        raise ExternalInputError(f"{field}: {text} may be {ids}; write more of the build id")
    if named not in found[0].manifest.outputs:
        raise ExternalInputError(
            f"{field}: {stage} {found[0].manifest.build_id[:16]} has no output {named}, only "
            f"{', '.join(sorted(found[0].manifest.outputs))}: an earlier version made it, or "
            "it was made without. Name one of these, or build it again with `ingot run --force`"
        )
    return found[0], named
