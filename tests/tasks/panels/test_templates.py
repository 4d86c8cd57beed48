"""Templates: what is put in stays text, what is missing is an error, and each is installed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound, UndefinedError
from markupsafe import Markup

from tasks.engine.run.code import reached_files
from tasks.panels.templates import Template
from tasks.stages import clean, report

ROOT = Path(__file__).parents[3]
TOY = """
{% macro line(text, more) %}
<p title="{{ text }}">{{ text }}{% if more %}{{ more | join(", ") }}{% endif %}</p>
{% endmacro %}
{% macro twice(text) %}{{ line(text, []) }}{{ shout(text) }}{% endmacro %}
"""


@pytest.fixture
def draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Template:
    package = tmp_path / "toy_templates"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "toy.jinja").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Template("toy_templates", "toy.jinja", shout=str.upper)


def test_what_is_put_in_is_text_unless_it_is_markup(draw: Template) -> None:
    drawn = draw("line", text='"><b>\x00\ud800', more=["<i>", "&"])
    assert drawn == (
        '<p title="&#34;&gt;&lt;b&gt;\ufffd\ufffd">&#34;&gt;&lt;b&gt;\ufffd\ufffd'
        "&lt;i&gt;, &amp;</p>"
    )
    assert draw("line", text=Markup("<b>x</b>"), more=[]).count("<b>") == 2


def test_macros_and_functions_are_escaped_once(draw: Template) -> None:
    assert draw("twice", text="a&b") == '<p title="a&amp;b">a&amp;b</p>\nA&amp;B'


def test_what_is_missing_is_an_error(draw: Template) -> None:
    with pytest.raises(UndefinedError, match="more"):
        draw("line", text="x")
    with pytest.raises(TypeError, match="odd"):
        draw("line", text="x", more=[], odd=1)
    with pytest.raises(AttributeError, match="paragraph"):
        draw("paragraph")
    with pytest.raises(TemplateNotFound, match=r"other\.jinja"):
        Template("toy_templates", "other.jinja")("line")


def test_whatever_is_not_python_is_installed_too() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    installed = {
        path
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    others = {
        path
        for package in ("deployments", "flows", "tasks", "llm")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert others <= installed
    assert ROOT / "tasks/report/page.jinja" in installed


def test_a_template_belongs_to_the_code_of_the_stage_that_draws_with_it() -> None:
    drawn = {"tasks/report/page.jinja", "tasks/report/page.css", "tasks/panels/html.jinja"}
    assert drawn <= reached_files((report.run.__module__,)).keys()
    assert drawn.isdisjoint(reached_files((clean.run.__module__,)))
