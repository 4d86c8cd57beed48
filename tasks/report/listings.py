"""Code of the project as it stands: what a chapter shows cannot be older than what runs.

The source is read, and nothing is imported: a page on DPO needs neither PyTorch nor TRL.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

from llm.errors import ExpectedError
from tasks.report.blocks import Listing

_MAX_LINES = 70


class UnknownCodeError(ExpectedError):
    """A chapter names a function, class or method that the project does not have."""


def listing(name: str) -> Listing:
    """The source of a function, class or method.

    Args:
        name: as in `llm.model.transformer:RMSNorm.forward`.

    Raises:
        UnknownCodeError: there is no such module, or nothing of that name in it.
    """
    module, _, path = name.partition(":")
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None or not path:
        raise UnknownCodeError(f"{name}: no such module; a name is MODULE:FUNCTION")
    text = Path(spec.origin).read_text(encoding="utf-8")
    body = ast.parse(text).body
    found: ast.stmt | None = None
    for part in path.split("."):
        found = next((node for node in body if _name(node) == part), None)
        if found is None:
            raise UnknownCodeError(f"{name}: {module} has no {path}")
        body = found.body if isinstance(found, ast.ClassDef) else []
    assert found is not None
    decorators = found.decorator_list if isinstance(found, _DEFINITIONS) else []
    first = min([found.lineno, *(decorator.lineno for decorator in decorators)])
    lines = text.splitlines()[first - 1 : found.end_lineno]
    indent = found.col_offset
    shown = [line[indent:] for line in lines[:_MAX_LINES]]
    if len(lines) > _MAX_LINES:
        shown.append(f"# … {len(lines) - _MAX_LINES} lines more")
    place = f"{module.replace('.', '/')}.py:{first}"
    return Listing(f"{module}.{path}", place, "\n".join(shown))


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _name(node: ast.stmt) -> str:
    if isinstance(node, _DEFINITIONS):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""
