"""Templates over the fields of a record: Jinja2, sandboxed, in which no field may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from llm.errors import ExpectedError

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment


class TaskTemplateError(ExpectedError, ValueError):
    """A template of a task is none, or asks a record for what it has not."""


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # Prompts are plain text: nothing is escaped, and a newline at the end is one.
    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


def check_template(text: str) -> None:
    """Make sure that a text is a template.

    Raises:
        TaskTemplateError: it is none; says why.
    """
    _compiled(text)


def check_expression(text: str) -> None:
    """Make sure that a text is an expression, what stands within the braces of a template.

    Raises:
        TaskTemplateError: it is none; says why.
    """
    _expression(text)


def fill(text: str, record: Mapping[str, Any]) -> str:
    """A template with the fields of a record put in.

    Raises:
        TaskTemplateError: it is none, or names a field that the record lacks.
    """
    from jinja2 import TemplateError

    try:
        found: str = _compiled(text).render(record)
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise _unfit(text, record, error) from error
    return found


def value(text: str, record: Mapping[str, Any]) -> Any:
    """What an expression over the fields of a record stands for.

    Raises:
        TaskTemplateError: it is none, or names a field that the record lacks.
    """
    from jinja2 import TemplateError, Undefined

    try:
        found = _expression(text)(record)
        if isinstance(found, Undefined):
            str(found)  # says which name it is
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise _unfit(text, record, error) from error
    return found


@cache
def _compiled(text: str) -> Any:
    from jinja2 import TemplateSyntaxError

    try:
        return _environment().from_string(text)
    except TemplateSyntaxError as error:
        raise TaskTemplateError(f"{text!r} is no Jinja2 template: {error.message}") from error


@cache
def _expression(text: str) -> Any:
    from jinja2 import TemplateSyntaxError

    try:
        return _environment().compile_expression(text, undefined_to_none=False)
    except TemplateSyntaxError as error:
        raise TaskTemplateError(
            f"{text!r} is no Jinja2 expression ({error.message}); write it without braces, as in "
            "choices.text"
        ) from error


def _unfit(text: str, record: Mapping[str, Any], error: Exception) -> TaskTemplateError:
    return TaskTemplateError(f"{text!r}: {error}; the record has {', '.join(record) or 'no field'}")
