"""Installed Python distributions, found and read without importing them.

`importlib.metadata` brings the whole of `email`: what imports stages alone goes without it.
"""

from __future__ import annotations

import csv
import hashlib
import os
import platform
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from llm.errors import ExpectedError

if TYPE_CHECKING:
    from email.message import Message

# The name under which the standard library is offered.
STANDARD_LIBRARY = "python"
# Folders that hold no documentation of the distribution itself.
_SKIPPED_PARTS = frozenset(
    {"test", "tests", "_tests", "__pycache__", "site-packages", "dist-packages", "lib-dynload"}
    | {"vendor", "_vendor", "vendored", "externals", "third_party", "idlelib", "turtledemo"}
    | {"benchmarks", "examples", "lib2to3", "ensurepip"}
)
# Path, digest and size.
_RECORD_COLUMNS = 3


class DistributionNotFoundError(ExpectedError, LookupError):
    """A distribution is not installed here, or its installer left no list of its files."""


@dataclass(frozen=True)
class Installed:
    """A distribution on this machine.

    Attributes:
        name: as asked for; it names URLs, so spelling is part of identity.
        folder: its `.dist-info` folder; of the standard library, the library's folder.
        digest: SHA-256 over the names and digests of the files that are read.
        size: bytes of those files.
    """

    name: str
    version: str
    folder: Path
    digest: str
    size: int


@dataclass(frozen=True)
class Description:
    """What a distribution says about itself: README text, its content type, its licence."""

    text: str
    content_type: str
    license: str


@dataclass(frozen=True)
class ModuleFile:
    """A Python source file: dotted name, where it is, and whether it is a package."""

    name: str
    path: Path
    package: bool
    relative: str


def find_distribution(name: str) -> Installed:
    """Locate a distribution by name; "python" is the standard library.

    The digest covers the Python sources and the metadata as their installer recorded them, not
    the whole RECORD: that lists compiled files and scripts as well, which differ between
    machines.

    Raises:
        DistributionNotFoundError: it is not installed, or has no RECORD (an editable install).
    """
    from importlib import metadata

    if name == STANDARD_LIBRARY:
        return _standard_library()
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise DistributionNotFoundError(
            f"distribution {name!r} is not installed; `pip install {name}` or take it off the list"
        ) from error
    record = found.read_text("RECORD")
    rows = list(csv.reader((record or "").splitlines()))
    place = next((row[0] for row in rows if row and row[0].endswith(".dist-info/RECORD")), None)
    if place is None:
        raise DistributionNotFoundError(
            f"distribution {name!r} has no RECORD of its files (an editable install?); "
            "install it from a wheel, or take it off the list"
        )
    digest, size = hashlib.sha256(), 0
    for path, recorded, length in sorted(row for row in rows if len(row) == _RECORD_COLUMNS):
        if path.endswith((".py", "/METADATA")):
            digest.update(f"{path}\0{recorded}\n".encode())
            size += int(length or 0)
    folder = Path(str(found.locate_file(place))).parent
    return Installed(name, found.version, folder, digest.hexdigest(), size)


def _standard_library() -> Installed:
    folder = Path(sysconfig.get_path("stdlib"))
    digest, size = hashlib.sha256(), 0
    for module in _stdlib_modules(folder):
        data = module.path.read_bytes()
        digest.update(f"{module.relative}\0{hashlib.sha256(data).hexdigest()}\n".encode())
        size += len(data)
    version = platform.python_version()
    return Installed(STANDARD_LIBRARY, version, folder, digest.hexdigest(), size)


def module_files(name: str, folder: Path) -> list[ModuleFile]:
    """Source files of a distribution (tests and vendored code aside), sorted by module name."""
    from importlib.metadata import Distribution

    if name == STANDARD_LIBRARY:
        return _stdlib_modules(folder)
    base, modules = folder.parent, []
    for file in Distribution.at(folder).files or []:
        module = _module(base / file, str(file)) if file.suffix == ".py" else None
        if module is not None:
            modules.append(module)
    return sorted(modules, key=lambda module: (module.name, module.relative))


def _stdlib_modules(folder: Path) -> list[ModuleFile]:
    modules = []
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED_PARTS]
        for file in files:
            path = Path(where, file)
            module = None
            if path.suffix == ".py":
                module = _module(path, path.relative_to(folder).as_posix())
            if module is not None:
                modules.append(module)
    return sorted(modules, key=lambda module: (module.name, module.relative))


def _module(path: Path, relative: str) -> ModuleFile | None:
    parts = relative.removesuffix(".py").split("/")
    package = parts[-1] == "__init__"
    if package:
        parts.pop()
    if not parts or _SKIPPED_PARTS.intersection(parts):
        return None
    if not all(part.isidentifier() for part in parts):
        return None
    if parts[-1] == "conftest" or parts[-1].startswith("test_") or parts[-1].endswith("_test"):
        return None
    return ModuleFile(".".join(parts), path, package, relative)


def describe(name: str, folder: Path) -> Description:
    """The long description and licence out of a distribution's METADATA (PEP 566, 639)."""
    from importlib.metadata import Distribution

    if name == STANDARD_LIBRARY:
        return Description("", "text/plain", "PSF-2.0")
    # A Message behind a Protocol: mypy knows only the Protocol.
    metadata = cast("Message", Distribution.at(folder).metadata)
    payload = metadata.get_payload()
    text = payload if isinstance(payload, str) and payload.strip() else ""
    kind = str(metadata.get("Description-Content-Type") or "text/x-rst").split(";")[0].strip()
    return Description(text or str(metadata.get("Description") or ""), kind, _license(metadata))


def _license(metadata: Message) -> str:
    stated = str(metadata.get("License-Expression") or "").strip()
    if stated:
        return stated
    stated = str(metadata.get("License") or "").strip()
    # Some put the whole text of the licence there.
    if stated and "\n" not in stated and len(stated) <= 80:
        return stated
    prefix = "License :: "
    found = [str(value) for value in metadata.get_all("Classifier") or []]
    names = sorted({v.split(" :: ")[-1] for v in found if v.startswith(prefix)})
    return " OR ".join(names) or "unknown"
