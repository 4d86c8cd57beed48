"""The house: folders import one way, and stages say at their top what they need."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("llm", "tasks", "flows", "deployments")
FILES = [path for part in PARTS for path in (ROOT / part).rglob("*.py")]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
}
STAGES = sorted((ROOT / "tasks" / "stages").glob("*.py"))


def imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)))


def imported(path: Path) -> Iterator[Path]:
    """The project's own files that a file imports, wherever in it."""
    for node in imports(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{name}" for name in names]
            names = [name if name in MODULES else str(node.module) for name in inner]
        yield from (MODULES[name] for name in names if name in MODULES)


def folder(path: Path) -> str:
    """Where a file lies."""
    return path.parent.relative_to(ROOT).as_posix()


def test_no_two_folders_import_each_other() -> None:
    """Not through others either: what they share lies in a third, below both."""
    folders = TopologicalSorter[str]()
    for path in FILES:
        for other in imported(path):
            if folder(other) != folder(path):
                folders.add(folder(path), folder(other))
    order = list(folders.static_order())  # a CycleError names the circle
    assert order.index("llm/process") < order.index("tasks/engine/store") < order.index("flows/cli")


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_a_stage_imports_at_its_top(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert {id(node) for node in imports(tree)} <= {id(node) for node in tree.body}
