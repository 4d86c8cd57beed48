"""HTML by Jinja2: a template lies beside the module that fills it, under the same name.

Whatever is put into a template is escaped unless it is `Markup`, which only a template and the
drawings of `svg.py` and `svg_graph.py` make. A name nobody gave is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from markupsafe import Markup

from tasks.panels.escaping import printable

if TYPE_CHECKING:
    from jinja2.environment import TemplateModule


class Template:
    """The macros of a template file, called by name; read when the first is called.

    Args:
        package: dotted name of the package the file is in, as package data.
        file: name of the template.
        functions: what the template can call beside Jinja's own.
    """

    def __init__(self, package: str, file: str, **functions: Callable[..., object]) -> None:
        self._package, self._file, self._functions = package, file, functions

    @cached_property
    def _macros(self) -> TemplateModule:
        # Not before: every command imports the report, and few draw it.
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader(self._package, ""),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_finalize,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(self._functions)
        return environment.get_template(self._file).module

    def __call__(self, macro: str, **values: object) -> Markup:
        """What a macro draws of these values, without white space around it.

        Raises:
            jinja2.TemplateNotFound: the package has no such file.
            AttributeError: the template has no macro of this name.
            TypeError: the macro takes no value of a name given.
            jinja2.UndefinedError: the macro uses a value that is not given.
        """
        return Markup(getattr(self._macros, macro)(**values)).strip()


def _finalize(value: object) -> object:
    # Jinja asks this of every value before it escapes it.
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
