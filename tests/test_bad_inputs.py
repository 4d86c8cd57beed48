"""What a user sees when the input is wrong: one message that names the place and the way out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main as command_line
from tasks.engine.errors import ExternalInputError
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.recipe import load
from tasks.registry import STAGES
from tasks.stages.source import EmptySourceError
from tests.bad_input_files import FACTS, archive, capture, rows
from tests.llm.evaluation.tiny_models import model_folder
from tests.llm.tokens.small_tokenizer import library_texts

COMMAND = (sys.executable, "-c", "from flows.cli.main import main; main()")
RECIPE = """
name: mine
source:
  workers: 1
  sources:
    - {name: web, kind: warc, paths: [pages.warc.gz]}
clean: {workers: 1}
dedup: {workers: 1}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a recipe and a sound archive, where relative paths start."""
    before = dict(os.environ)
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    archive(tmp_path / "pages.warc.gz")
    (tmp_path / "mine.yaml").write_text(RECIPE, encoding="utf-8")
    yield tmp_path
    os.environ.clear()  # the command line sets up Prefect's
    os.environ.update(before)


def refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *changes: str
) -> str:
    """What `ingot plan` says on standard error, having ended with exit code 1."""
    options = [part for change in changes for part in ("--set", change)]
    monkeypatch.setattr(sys, "argv", ["ingot", "plan", "--recipe", "mine.yaml", *options])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert told.out == ""
    return told.err.strip()


def nothing_published(root: Path) -> bool:
    return not list((root / "home").rglob("manifest.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "dedup.treshold=0.7",
            r"RecipeError: .*mine\.yaml: dedup\.treshold: no such field; "
            r"did you mean 'threshold'\?",
        ),
        (
            "source.sources.0.path=[x]",
            r"RecipeError: .*mine\.yaml: source\.sources\.0\.path: no such field; "
            r"did you mean 'paths'\?",
        ),
        (
            "dedup.threshold=1.5",
            r"RecipeError: .*mine\.yaml: dedup\.threshold: Input should be less than or equal "
            r"to 1 \(found 1\.5\)",
        ),
        (
            "source.sources.0.paths=[crawl/*.warc.gz]",
            r"ExternalInputError: source\.sources\[web\]\.paths: 'crawl/\*\.warc\.gz' matches no "
            r"file \(looked in .*crawl\); correct the path or remove it from the recipe",
        ),
        (
            "source.sources=[{name: web, paths: [mine.yaml]}]",
            r"ExternalInputError: source\.sources\[web\]: the ending of 'web/mine\.yaml' does not "
            r"say what it is; set `kind` \(warc, .*\) or narrow the glob",
        ),
    ],
)
def test_a_wrong_recipe_is_one_message_and_exit_code_1(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    message: str,
) -> None:
    said = refused(capsys, monkeypatch, change)
    assert re.fullmatch(message, said), said
    assert nothing_published(root)


def test_a_missing_file_of_a_late_stage_is_told_before_the_first_one_runs(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (root / "mine.yaml").open("a", encoding="utf-8") as recipe:
        recipe.write("examples: {make_from_documents: false, instruction_files: [sft/*.jsonl]}\n")
    said = refused(capsys, monkeypatch)
    assert re.fullmatch(
        r"ExternalInputError: examples\.instruction_files: 'sft/\*\.jsonl' matches no file "
        r"\(looked in .*sft\); correct the path or remove it from the recipe",
        said,
    ), said


def built(root: Path, *changes: str) -> dict[str, Artifact]:
    """The recipe with changes, built without Prefect."""
    recipe, store = load("mine.yaml", changes), Store(str(root / "home"))
    stages = chain(STAGES, recipe.configs)
    plan = Planner(stages, recipe.configs, recipe.name, store, Selection())
    return {name: done.artifact for name, done in build(plan).items()}


def records(artifact: Artifact, output: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = artifact.data(output).table().to_pylist()
    return found


def test_a_source_without_a_record_is_an_error(root: Path) -> None:
    (root / "pages.warc.gz").write_bytes(b"")
    with pytest.raises(
        EmptySourceError, match=r"no page in 1 file\(s\) of web \(source\.sources\).*paths"
    ):
        built(root)
    assert nothing_published(root)


def test_a_source_without_a_page_says_what_its_records_were(root: Path) -> None:
    (root / "pages.warc.gz").write_bytes(
        capture("http://x.org/a", b"", "request") + capture("http://x.org/b", b"  ")
    )
    with pytest.raises(
        EmptySourceError,
        match=r"no page in 1 file\(s\) of web .*removed 1 as empty_body, such as http://x\.org/b "
        r"\(pages\.warc\.gz, byte \d+\); removed 1 as request.*Correct the paths",
    ):
        built(root)
    assert nothing_published(root)


@pytest.mark.parametrize(
    ("more", "reason"),
    [(4, "truncated_file"), (120, "truncated_record"), (200, "truncated_record")],
)
def test_of_an_archive_that_is_cut_the_whole_pages_are_kept(
    root: Path, more: int, reason: str
) -> None:
    end = archive(root / "pages.warc.gz", kept=3, more=more)
    done = built(root, "source.max_failed_shards=0")
    kept = sorted(page["url"] for page in records(done["source"], "pages"))
    assert kept == [f"http://x.org/{number}" for number in range(3)]
    (rejected,) = records(done["source"], "rejected")
    assert rejected["reason"] == reason
    assert f"pages.warc.gz, byte {end}: " in rejected["detail"]
    assert not records(done["source"], "removed")
    texts = [document["text"].strip() for document in records(done["clean"], "documents")]
    assert sorted(texts) == sorted(FACTS[:3])


def test_a_text_in_another_encoding_is_read_and_a_binary_file_rejected(root: Path) -> None:
    text = "Größe, Länge und Höhe der Brücke über den Fluß waren schön gewählt. " * 20
    (root / "latin.txt").write_bytes(text.encode("latin-1"))
    (root / "picture.txt").write_bytes(bytes(range(256)) * 40)
    done = built(
        root, "source.sources=[{name: notes, kind: text, paths: [latin.txt, picture.txt]}]"
    )
    (page,) = records(done["source"], "pages")
    assert page["html"].decode("utf-8") == text
    (rejected,) = records(done["source"], "rejected")
    assert rejected["reason"] == "undecodable"
    assert rejected["detail"].startswith(
        "picture.txt: the bytes fit no encoding (tried: utf-8, not so from byte 128 on"
    )


UNANSWERED: list[dict[str, Any]] = [
    {"prompt": "Who keeps the light?", "completion": " "},
    {"messages": [{"role": "user", "content": "Why does bread rise?"}]},
]


def _with_examples(root: Path, file: str) -> None:
    with (root / "mine.yaml").open("a", encoding="utf-8") as recipe:
        recipe.write(f"examples: {{make_from_documents: false, instruction_files: [{file}]}}\n")


def test_a_row_without_an_answer_is_rejected_with_file_and_row(root: Path) -> None:
    answered = {"prompt": "Where did the mill stand?", "completion": "At the river."}
    rows(root / "told.jsonl", [answered, *UNANSWERED])
    _with_examples(root, "told.jsonl")
    examples = built(root)["examples"]
    assert len(records(examples, "instructions")) == 1
    found = {(row["reason"], row["detail"]) for row in records(examples, "rejected")}
    assert found == {
        ("empty_text", "told.jsonl:2: completion is empty"),
        ("no_answer", "told.jsonl:3: the last turn is the user's"),
    }


def test_a_file_without_one_answer_is_an_error(root: Path) -> None:
    rows(root / "told.jsonl", UNANSWERED)
    _with_examples(root, "told.jsonl")
    with pytest.raises(
        ExternalInputError,
        match=r"examples\.instruction_files: told\.jsonl: none of its 2 rows is usable "
        r"\(empty_text 1, no_answer 1; told\.jsonl:1: completion is empty\).*Correct the file",
    ):
        built(root)
    assert not list((root / "home" / "artifacts" / "examples").rglob("manifest.json"))


def test_a_model_of_another_tokenizer_is_refused(root: Path, tmp_path: Path) -> None:
    start = model_folder(tmp_path / "base")
    texts = [part for part in library_texts()[0].split("\n\n") if len(part) > 80]
    rows(root / "texts.jsonl", [{"text": text} for text in texts])
    (root / "mine.yaml").write_text(
        "name: mine\n"
        "source: {workers: 1, sources: [{name: texts, paths: [texts.jsonl]}]}\n"
        "clean: {workers: 1}\n"
        "dedup: {workers: 1}\n"
        "tokenizer: {vocabulary_size: 512, sample_bytes: 60000}\n"
        "pack: {workers: 1, sequence_length: 32}\n"
        f"pretrain: {{continue_from: {start}, threads: 1, device: cpu}}\n",
        encoding="utf-8",
    )
    with pytest.raises(
        ExternalInputError,
        match=rf"pretrain\.continue_from: the model in {re.escape(str(start))} was trained with "
        r"tokenizer \w{12}, given is \w{12} .* Take the tokenizer beside the model, or train "
        r"from the start with the new one",
    ):
        built(root)
    assert not list((root / "home" / "artifacts" / "pretrain").rglob("manifest.json"))


@pytest.mark.long
def test_a_failed_run_ends_with_one_message(root: Path) -> None:
    (root / "pages.warc.gz").write_bytes(b"")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [*COMMAND, "run", "--recipe", "mine.yaml"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=env,
    )
    try:
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        assert (ended.stdout + ended.stderr).count("no page in 1 file(s) of web") == 1
        assert nothing_published(root)
    finally:
        subprocess.run([*COMMAND, "down"], check=True, capture_output=True, env=env)
