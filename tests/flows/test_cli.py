"""The command line: what is printed, which names are understood, how it ends."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.built import find_artifacts, first_built
from flows.cli.inspecting import _manifest, diff, removed, trace, why
from flows.cli.main import COMMANDS, application
from flows.cli.results import promote, report
from flows.cli.running import show_plan
from flows.planning import planner_for
from tasks.engine.errors import ExternalInputError, IngotError, MissingInputError, RecipeError
from tasks.engine.run.build import build
from tasks.engine.run.plan import Row, Status
from tasks.engine.store.store import Store
from tasks.recipe import load, recipe_name
from tests.flows.pages import write_page, write_recipe


def test_reasons_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    why = "url_pattern: '[a-z]+' -> '[/?]'"
    show_plan([Row("quality", Status.STALE, (why,), True, None, 1.0, 10)])
    said = capsys.readouterr().out
    assert why in said
    assert said.endswith("estimated: 1 s\n")


NAMES = [c.name or c.callback.__name__ for c in application().registered_commands]


@pytest.mark.parametrize("file", COMMANDS)
def test_a_command_is_found_by_the_file_it_is_in(file: str) -> None:
    names = COMMANDS[file]
    for name in names:
        found = application([name, "--help"]).registered_commands
        assert tuple(c.name or c.callback.__name__ for c in found) == names


def test_what_is_no_command_is_told_with_all_there_are() -> None:
    assert len(application(["plam"]).registered_commands) == len(NAMES)
    answer = CliRunner().invoke(application(["plam"]), ["plam"])
    assert answer.exit_code == 2
    assert "plan" in answer.output


@pytest.mark.parametrize("command", ["", *NAMES])
def test_every_command_explains_itself(command: str) -> None:
    answer = CliRunner().invoke(application(), [*command.split(), "--help"])
    assert answer.exit_code == 0, answer.output
    assert "--help" in answer.output


def test_the_version_is_the_distribution_s() -> None:
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    answer = CliRunner().invoke(application(), ["--version"])
    assert (answer.exit_code, answer.output) == (0, f"ingot {declared['project']['version']}\n")


def test_why_looks_only_at_what_a_stage_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    write_page(tmp_path / "pages", "Severn.html", "Severn")
    file = write_recipe(tmp_path / "mine.yaml", tmp_path / "pages")
    with (tmp_path / "mine.yaml").open("a") as recipe:
        recipe.write(
            f"decontaminate:\n  evaluation_sets: [{{name: x, paths: [{tmp_path}/gone]}}]\n"
        )
    why("dedup", recipe=file)
    assert "dedup is missing" in capsys.readouterr().out
    with pytest.raises(ExternalInputError, match="gone"):
        why("decontaminate", recipe=file)


def test_diff_shows_the_beginning_of_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    write_page(tmp_path / "pages", "Severn.html", "Severn")
    file = write_recipe(tmp_path / "mine.yaml", tmp_path / "pages")
    store = Store(str(tmp_path / "home"))
    before = build(planner_for(load(file), file, store))["clean"].artifact.manifest
    write_page(tmp_path / "pages", "Tweed.html", "Tweed")
    after = build(planner_for(load(file), file, store))["clean"].artifact.manifest
    diff(f"clean/{before.build_id}", "clean", recipe=file)
    told = capsys.readouterr().out
    was, now = (m.outputs["documents"].data_id for m in (before, after))
    assert f"outputs.documents: '{was[:16]}' -> '{now[:16]}'" in told
    assert not re.search("[0-9a-f]{17}", told)


def test_the_report_and_what_is_written_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    write_page(tmp_path / "pages", "Severn.html", "Severn")
    file = write_recipe(tmp_path / "mine.yaml", tmp_path / "pages")
    with (tmp_path / "mine.yaml").open("a") as recipe:
        recipe.write("report: {}\n")
    build(planner_for(load(file), file, Store(str(tmp_path / "home"))))
    card, funnel, pdf = tmp_path / "card.md", tmp_path / "funnel.svg", tmp_path / "guide.pdf"
    report(recipe=file, funnel=funnel, data_card=card, pdf=True, file=pdf)
    told = capsys.readouterr()
    assert told.out.splitlines()[1:] == [str(pdf), str(funnel), str(card)]
    assert not told.err
    assert pdf.read_bytes().startswith(b"%PDF-")
    write_page(tmp_path / "pages", "Tweed.html", "Tweed")
    planner = planner_for(load(file), file, Store(str(tmp_path / "home")), only=("source",))
    build(planner)
    capsys.readouterr()
    report(recipe=file, pdf=True)
    told = capsys.readouterr()
    page, beside = map(Path, told.out.splitlines())
    assert (beside.parent, beside.suffix) == (page.parent, ".pdf")
    assert beside.read_bytes().startswith(b"%PDF-")
    assert "source was built again since the page was made" in told.err
    assert card.read_text().startswith("# Data of rivers\n\n## From pages to training data\n")
    assert "### Probability that a pair is compared" in card.read_text()
    assert funnel.read_text().startswith("<svg")
    with pytest.raises(IngotError, match=r"cannot be written: .* --pdf FILE"):
        report(recipe=file, pdf=True, file=tmp_path / "none" / "guide.pdf")
    with pytest.raises(IngotError, match=r"guide\.pdf: say what is to be written there; --pdf"):
        report(recipe=file, file=pdf)


def test_questions_understand_recipe_files_and_whole_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    write_page(tmp_path / "pages", "Severn.html", "Severn")
    write_page(tmp_path / "pages", "copy.html", "Severn")
    file = write_recipe(tmp_path / "mine.yaml", tmp_path / "pages")
    assert recipe_name(file) == "rivers"
    store = Store(str(tmp_path / "home"))
    done = build(planner_for(load(file), file, store))
    removed("dedup", recipe=file)
    assert "exact" in capsys.readouterr().out
    build_id = done["dedup"].artifact.manifest.build_id
    for wanted in (f"dedup/{build_id}", f"dedup/{build_id[:16]}", "dedup", "dedup@rivers"):
        assert _manifest(store, file, wanted).manifest.build_id == build_id
    kept = done["dedup"].artifact.folder
    promote("prod", recipe=file)
    assert f"prod  {kept}" in capsys.readouterr().out
    build(planner_for(load(file, ["dedup.threshold=0.6"]), file, store))
    assert find_artifacts(file, "latest")["dedup"].folder != kept
    assert find_artifacts(file, "prod")["dedup"].folder == kept
    with pytest.raises(MissingInputError, match="`ingot promote beta"):
        first_built(file, "beta", ("dedup",))
    with pytest.raises(MissingInputError, match="has no section export"):
        first_built(file, "latest", ("export",))
    with pytest.raises(MissingInputError, match="its reasons are: exact"):
        removed("dedup", reason="exotic", recipe=file)
    pages = done["source"].artifact.data("pages").table(["url"])["url"].to_pylist()
    with pytest.raises(MissingInputError, match="a whole URL as it was read, such as ") as told:
        trace("https://nowhere.example/", recipe=file)
    assert any(url in str(told.value) for url in pages)
    with pytest.raises(IngotError, match="'latest' cannot be set"):
        promote("latest", recipe=file)
    with pytest.raises(MissingInputError, match="never built"):
        _manifest(store, "gone", "dedup")
    with pytest.raises(RecipeError, match=r"no recipe 'gone\.yaml'"):
        recipe_name("gone.yaml")
