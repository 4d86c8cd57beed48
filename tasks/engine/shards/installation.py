"""What of an installation decides the bytes a shard is made of, so that two can be compared.

A receipt is signed with the code of the run that asked for the shard. A worker of a cluster was
installed by somebody, at some time: it says what it has, and builds nothing if that is other code.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import platform
import re
from collections.abc import Iterator
from pathlib import Path

_PACKAGES = ("llm", "tasks")
_BESIDE_CODE = {".py", ".c", ".h", ".tsv"}
_SHOWN = 5


@functools.lru_cache(maxsize=1)
def installation() -> dict[str, str]:
    """Digest of the code of stages, version of Python, and those of all that Ingot requires."""
    return {"code": _code(), "python": platform.python_version(), **dict(_libraries())}


def _code() -> str:
    digest = hashlib.sha256()
    for package in _PACKAGES:
        found = importlib.util.find_spec(package)
        assert found is not None
        root = Path((found.submodule_search_locations or [""])[0])
        for path in sorted(root.rglob("*")):
            if path.suffix in _BESIDE_CODE:
                digest.update(f"{path.relative_to(root.parent)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _libraries() -> Iterator[tuple[str, str]]:
    try:
        required = importlib.metadata.requires("ingot") or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return
    for line in required:
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        if "extra ==" in line:
            continue
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, "none"


def differences(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """What another installation has otherwise, for people; empty where nothing."""
    names = [name for name in sorted({*theirs, *ours}) if theirs.get(name) != ours.get(name)]
    shown = [f"{name} {ours.get(name)} and not {theirs.get(name)}" for name in names[:_SHOWN]]
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*shown, *more])
