"""The bill of materials of a run: libraries with versions and licences, data, models, in CycloneDX
1.6 (https://cyclonedx.org/docs/1.6/json/)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from llm.corpus.source.licences import spdx
from tasks.engine.store.artifact import Artifact

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/ingot")


def bill_of_materials(recipe: str, artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """A CycloneDX document; the same run gives the same bytes.

    Args:
        artifacts: by stage, in the order of the chain.
    """
    used: dict[tuple[str, str], list[str]] = {}
    for stage, artifact in artifacts.items():
        for library, version in artifact.manifest.code.libraries.items():
            used.setdefault((library, version), []).append(stage)
    libraries = [_library(*key, stages) for key, stages in sorted(used.items())]
    made = [
        _made(stage, output, artifact)
        for stage, artifact in artifacts.items()
        for output in artifact.manifest.outputs
        if output in ("model", "tokenizer", "sequences", "documents")
    ]
    components = [*libraries, *made]
    serial = uuid.uuid5(_NAMESPACE, json.dumps(components, sort_keys=True))
    newest = max((a.manifest.timings.started for a in artifacts.values()), default="")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            **({"timestamp": newest} if newest else {}),
            "component": {"type": "application", "bom-ref": recipe, "name": recipe},
        },
        "components": components,
        "dependencies": _dependencies(artifacts, {one["bom-ref"] for one in components}),
    }


def _library(name: str, version: str, stages: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name.lower()}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{version}",
        "properties": [{"name": "ingot:stages", "value": ", ".join(stages)}],
    }
    licence = _licence_of(name, version)
    if licence:
        found["licenses"] = [{"expression": licence}]
    return found


def _licence_of(name: str, version: str) -> str | None:
    """As the distribution that is installed states it, where it is of that version."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return None
    if about["Version"] != version:
        return None
    # A field that is not there is an error once another package has put in a reader of its own.
    stated = about.get_all("License-Expression") or about.get_all("License") or [None]
    named = spdx(stated[0])
    if named is not None:
        return named
    for classifier in about.get_all("Classifier") or []:
        if classifier.startswith("License ::") and (
            of_it := spdx(classifier.rpartition(" :: ")[2])
        ):
            return of_it
    return None


def _made(stage: str, output: str, artifact: Artifact) -> dict[str, Any]:
    record = artifact.manifest.outputs[output]
    return {
        "type": "machine-learning-model" if output == "model" else "data",
        "bom-ref": f"{stage}.{output}",
        "name": f"{stage}.{output}",
        "version": f"{artifact.manifest.build_id[:16]}/{artifact.manifest.attempt}",
        # Of names, rows and digests of its files.
        "hashes": [{"alg": "SHA-256", "content": record.data_id}],
    }


def _dependencies(artifacts: Mapping[str, Artifact], known: set[str]) -> list[dict[str, Any]]:
    """Which output was made of which."""
    found = []
    for stage, artifact in artifacts.items():
        read = {f"{one.stage}.{one.output}" for one in artifact.manifest.inputs.values()}
        libraries = {
            f"pkg:pypi/{name.lower()}@{version}"
            for name, version in artifact.manifest.code.libraries.items()
        }
        for output in artifact.manifest.outputs:
            if f"{stage}.{output}" in known:
                below = sorted((read | libraries) & known)
                found.append({"ref": f"{stage}.{output}", "dependsOn": below})
    return found
