"""Errors: one class a cause, and a base class that says which ones are messages for the user."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from flows.faults import explains_itself
from llm.errors import ExpectedError
from llm.process.child import Child, ChildFailedError
from llm.process.run_file import RunFileError
from tasks.engine.errors import CancelledError

ROOT = Path(__file__).parents[1]


def error_classes() -> list[tuple[str, list[str]]]:
    """Names of all public exception classes, each with those of its parents."""
    return [
        (node.name, [ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases])
        for part in ("llm", "tasks", "flows", "deployments")
        for path in sorted((ROOT / part).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error") and node.name[0] != "_"
    ]


def test_no_two_causes_have_one_name() -> None:
    counts = Counter(name for name, _ in error_classes())
    assert len(counts) > 80
    assert [name for name, count in counts.items() if count > 1] == []


def test_every_class_is_below_the_one_that_commands_go_by() -> None:
    classes = dict(error_classes())

    def expected(name: str) -> bool:
        return name == "ExpectedError" or any(expected(base) for base in classes.get(name, ()))

    assert [name for name in classes if not expected(name)] == []


def test_a_command_goes_by_the_class_not_by_where_it_was_raised() -> None:
    assert explains_itself(RunFileError("run.json: missing field: seed"))
    assert explains_itself(CancelledError("stopped"))
    assert not explains_itself(KeyError("seed"))
    # A class that is defined in the library and is no message for the user.
    assert not explains_itself(type("Surprise", (Exception,), {"__module__": "llm.model"})())


def test_the_other_parent_of_a_class_stays() -> None:
    """Whoever catches what Python calls the fault goes on catching it."""
    assert issubclass(RunFileError, (ExpectedError, ValueError))
    with (
        Child(None) as child,
        pytest.raises(ChildFailedError, match="no readable run file") as raised,
    ):
        child.call("llm.process.run_file:read_record", Path("/nonexistent/run.json"))
    assert raised.value.type_name == "RunFileError"
