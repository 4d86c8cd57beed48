"""The code a stage reaches: a digest of its meaning, and which files changed.

Identity is the hand-set `version`; this is the net beneath it. The digest
covers the stage's module and the project modules it imports, found without
importing anything, with docstrings and comments left out, so that a better
explanation is no drift. A template, a style sheet, a file of C or a table counts with
the module it lies beside and is named after.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tasks.engine.identity.canonical import sha256_json
from tasks.engine.identity.memory import Memory
from tasks.engine.stage.stage import Stage
from tasks.engine.store.manifest import CodeRecord
from tasks.panels.numbers import counted

_PROJECT = Path(__file__).resolve().parents[3]
_PACKAGES = ("llm", "tasks")
_BESIDE = (".jinja", ".css", ".c", ".tsv")
# The machinery that runs stages is tested to leave their bytes alone; a change in it must not
# make every artifact look drifted.
_LEFT_OUT = ("tasks.engine", "tasks.runner", "tasks.registry", "tasks.recipe")


@functools.cache
def _module_file(module: str) -> Path | None:
    base = _PROJECT.joinpath(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


@functools.cache
def _memory() -> Memory:
    # How code is written out again, and so its digest, is up to the Python that does it.
    return Memory(f"code-{sys.version_info.major}.{sys.version_info.minor}")


@functools.cache
def _cached(path: Path) -> tuple[str, list[str]]:
    """The same for as long as this process runs, whose code is what it was when it was loaded."""
    digest, imports = _memory().recall(path, _parse)
    return digest, imports


def _parse(path: Path) -> tuple[str, list[str]]:
    """Digest of a file's code, and the dotted names it imports."""
    tree = ast.parse(path.read_bytes(), filename=str(path))
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    text = ast.unparse(_without_docstrings(tree))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(), names


def reached_files(modules: tuple[str, ...]) -> dict[str, str]:
    """Project file -> digest, over everything the modules import, themselves included."""
    return dict(_reach(modules))


@functools.cache
def _reach(modules: tuple[str, ...]) -> Mapping[str, str]:
    waiting, seen, files = list(modules), set[str](), dict[str, str]()
    while waiting:
        module = waiting.pop()
        if module in seen or module.split(".")[0] not in _PACKAGES:
            continue
        seen.add(module)
        if module.startswith(_LEFT_OUT):
            continue
        path = _module_file(module)
        if path is None:
            continue
        digest, imports = _cached(path)
        files[path.relative_to(_PROJECT).as_posix()] = digest
        for beside in map(path.with_suffix, _BESIDE):
            if beside.is_file():
                written = hashlib.sha256(beside.read_bytes()).hexdigest()
                files[beside.relative_to(_PROJECT).as_posix()] = written
        waiting += imports
    _memory().keep()
    return dict(sorted(files.items()))


def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed version of each distribution, "absent" for one that is not installed."""
    return {name: _version(name) for name in sorted(names)}


@functools.cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


@functools.cache
def checkout() -> tuple[str | None, bool | None]:
    """Commit of the folder this code lies in, and whether files differ from it; `None` where git
    does not say."""

    def ask(*words: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "-C", str(_PROJECT), *words], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return answer.stdout.strip()

    commit = ask("rev-parse", "HEAD")
    status = ask("status", "--porcelain")
    return commit, None if status is None else bool(status)


def code_record(stage: Stage, commits: bool = True) -> CodeRecord:
    """What the manifest says of the code behind a stage, as it is now.

    Args:
        commits: ask git too; what has drifted can be told without.
    """
    files = reached_files((stage.run.__module__, *stage.code))
    commit, dirty = checkout() if commits else (None, None)
    return CodeRecord(
        version=stage.version,
        digest=sha256_json(files),
        files=files,
        libraries=library_versions(stage.libraries),
        commit=commit,
        dirty=dirty,
    )


def identity(record: CodeRecord) -> str:
    """One digest over files and libraries: equal where there is no drift."""
    return sha256_json({"files": record.files, "libraries": record.libraries})


def drift(old: CodeRecord, new: CodeRecord) -> list[str]:
    """What changed under an unchanged version: files, then libraries as "name old -> new"."""
    changed = sorted(
        path
        for path in old.files.keys() | new.files.keys()
        if old.files.get(path) != new.files.get(path)
    )
    if old.adopted:
        changed.append(f"{counted(old.adopted, 'shard')} adopted from earlier code")
    for name in sorted(old.libraries.keys() | new.libraries.keys()):
        before, after = old.libraries.get(name, "absent"), new.libraries.get(name, "absent")
        if before != after:
            changed.append(f"{name} {before} -> {after}")
    return changed
