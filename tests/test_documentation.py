"""What README, docs and pyproject.toml name is there: files, commands, options, errors, extras."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import typer
from fsspec.registry import known_implementations
from packaging.requirements import Requirement

from flows.cli.main import app
from tasks.recipe import validate_recipe
from tasks.recipe_files import SHIPPED
from tasks.registry import STAGES
from tasks.settings_files.yaml_text import parse

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = [p for part in ("llm", "tasks", "flows", "deployments") for p in (ROOT / part).rglob("*.py")]
SHOWN = [
    path
    for part in ("llm", "tasks")
    for kind in ("jinja", "css", "js")
    for path in (ROOT / part).rglob(f"*.{kind}")
]
SOURCES = [*CODE, *(ROOT / "tests").rglob("*.py"), *SHOWN]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
_TREE = r"(?:llm|tasks|flows|deployments|benchmarks|tests|docs)"
# Names of classes that end so and are other projects', or Python's.
_OTHERS = {"MemoryError", "RecursionError"}
# Files of outputs, which a page may name.
_WRITTEN = {"chat_template.jinja"}


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> tuple[Path, str]:
    return request.param, request.param.read_text(encoding="utf-8")


def test_files_that_are_named_are_there(page: tuple[Path, str]) -> None:
    path, text = page
    for name in re.findall(rf"(?<![\w/.-]){_TREE}/[\w/.-]*\w", text):
        assert (ROOT / name).exists(), name
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / link).exists(), link


def test_files_that_are_named_shortly_are_there(page: tuple[Path, str]) -> None:
    """`page.py`, `methods/dpo.py`: files that the sentence says the folder of."""
    places = [p.relative_to(ROOT).as_posix() for p in SOURCES]
    for name in re.findall(r"`([\w./-]+\.(?:py|jinja|css|js))`", page[1]):
        found = any(f"/{place}".endswith(f"/{name}") for place in places)
        assert found or name in _WRITTEN, name


@pytest.mark.parametrize("stage", STAGES)
def test_the_page_of_a_stage_names_its_files(stage: str) -> None:
    text = (ROOT / "docs" / "stages" / f"{stage}.md").read_text(encoding="utf-8")
    assert f"`tasks/stages/{stage}.py`" in text
    for path in (ROOT / "tasks" / "stages").glob(f"{stage}_*.py"):
        assert f"`{path.name}`" in text


def test_modules_to_start_are_there(page: tuple[Path, str]) -> None:
    for name in re.findall(r"python -m ((?:llm|tasks|flows|deployments)[\w.]*)", page[1]):
        place = ROOT / name.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), name


def test_commands_and_options_are_there(page: tuple[Path, str]) -> None:
    lines = re.findall(r"ingot ([a-z][a-z-]*)((?: [^\n`]*)?)", page[1])
    for name, rest in lines:
        if name not in COMMANDS:
            # Prose may say "Ingot is"; a command is written in lower case.
            pytest.fail(f"`ingot {name}` is no command")
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        said = rest.split("  ")[0]  # behind two spaces is what it does
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", said):
            assert option in options, f"ingot {name} {option}"


def test_make_targets_are_there(page: tuple[Path, str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for name in re.findall(r"(?:`|^    )make ([a-z-]+)", page[1], flags=re.MULTILINE):
        assert name in targets, name


def test_errors_that_are_named_are_classes(page: tuple[Path, str]) -> None:
    classes = {name for p in CODE for name in re.findall(r"^class (\w+)", p.read_text(), re.M)}
    for name in re.findall(r"\b[A-Z]\w+Error\b", page[1]):
        assert name in classes | _OTHERS, name


def test_stages_have_a_page_and_recipes_a_line() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "stages").glob("*.md")}
    assert pages == set(STAGES)
    recipes = (ROOT / "docs" / "recipes.md").read_text()
    for path in SHIPPED.glob("*.yaml"):
        assert f"| `{path.stem}` |" in recipes


@pytest.mark.parametrize("stage", STAGES)
def test_fields_in_the_examples_of_a_stage_are_its_own(stage: str) -> None:
    """`stage.field` in any page, such as in `--set dedup.threshold=0.7`."""
    fields = set(STAGES[stage].config.model_fields) | set(STAGES[stage].outputs)
    files = {"md", "py", "yaml", "json", "svg", "html"}
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for name in re.findall(rf"(?<![\w/.-]){stage}\.([a-z][a-z_]*)", text):
            assert name in fields | files, f"{path.name}: {stage}.{name}"


def test_recipes_in_the_pages_are_sound(page: tuple[Path, str]) -> None:
    """Sections alone, of which each must be what its stage takes."""
    for block in re.findall(r"^```yaml\n(.*?)^```", page[1], flags=re.MULTILINE | re.DOTALL):
        validate_recipe(parse(block, page[0].name), page[0])


def test_every_extra_has_code_that_uses_it() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    used = "\n".join(
        path.read_text() for path in [*CODE, *(ROOT / "benchmarks").rglob("*.py")]
    ) + str(known_implementations)
    for extra, requirements in extras["optional-dependencies"].items():
        if extra == "dev":
            continue  # tools that are started, not imported
        for requirement in requirements:
            name = Requirement(requirement).name.replace("-", "_")
            assert re.search(rf"\b{name}\b", used), f"{extra}: nothing uses {name}"
