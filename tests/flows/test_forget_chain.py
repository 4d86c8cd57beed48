"""A page is taken out of a chain that ends in a model: from the tombstone to the certificate, and
to the model that was trained again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import taking_out
from flows.cli.main import application
from flows.planning import planner
from tasks.engine.run.build import build
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tests.flows.test_forget_command import without_server
from tests.llm.tokens.small_tokenizer import library_texts
from tests.test_kill_stages import TRAINING

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

FILES, A_FILE = 5, 40
SITE = "https://library.example/"
NAME = "library"


def texts() -> list[str]:
    """One a page, none with words of another but for what the library says twice."""
    found = sorted({part for part in library_texts()[0].split("\n\n") if len(part) > 120})
    return found[: FILES * A_FILE]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("library")
    for file in range(FILES):
        numbers = range(file * A_FILE, (file + 1) * A_FILE)
        rows = [{"text": texts()[at], "url": f"{SITE}{at}"} for at in numbers]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (root / "texts").mkdir(exist_ok=True)
        (root / "texts" / f"{file}.jsonl").write_text(lines)
    written: dict[str, Any] = {
        **TRAINING,
        "name": NAME,
        "source": {"workers": 1, "sources": [{"name": NAME, "paths": [str(root / "texts")]}]},
        "index": {"workers": 1},
        "export": {"gguf": []},
    }
    (root / "library.yaml").write_text(yaml.safe_dump(written))
    return str(root / "library.yaml")


@pytest.fixture(autouse=True)
def store(recipe: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    home = str(Path(recipe).parent / "home")
    monkeypatch.setenv("INGOT_HOME", home)
    monkeypatch.setattr(taking_out, "build_planned", without_server)
    return Store(home)


def ingot(*words: str) -> str:
    said = CliRunner().invoke(application(), [*words])
    assert said.exit_code == 0, said.output
    return said.stdout


def in_force(store: Store, stage: str) -> Artifact:
    found = channels.resolve(store, NAME, stage, "latest")
    assert found is not None
    return found


def parts(artifact: Artifact, output: str) -> dict[str, str]:
    return {part.path: part.sha256 for part in artifact.data(output).parts}


def rows(artifact: Artifact) -> dict[str, str]:
    """Texts of documents by URL."""
    table = artifact.data("documents").table(["url", "text"])
    return dict(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_from_the_tombstone_to_a_model_that_never_read_it(recipe: str, store: Store) -> None:
    build(planner(recipe))
    before = {stage: in_force(store, stage) for stage in ("source", "clean", "pretrain", "export")}
    ingot("papers", "-r", recipe)
    [url, *_] = in_force(store, "index").data("trained").table(["url"]).column("url").to_pylist()
    taken = texts()[int(url.removeprefix(SITE))]
    answer = json.loads(ingot("attribute", taken, "-r", recipe, "--json"))
    assert url in {each["row"]["url"] for span in answer["spans"] for each in span["sources"]}

    said = ingot("forget", url, "-r", recipe, "--apply", "--note", "letter of 3 May")
    path = re.search(r"certificate: (\S+)", said)
    assert path is not None
    certificate = json.loads(Path(path[1]).read_text())
    assert certificate["shared"] == []
    assert certificate["ids_in_force"] == 0
    assert certificate["by_suffix_arrays"] > 0
    rebuilt = {each["stage"]: each for each in certificate["rebuilt"]}
    assert list(rebuilt) == ["source", "clean", "dedup", "tokenizer", "pack", "index"]
    # The file that had the page was read again; nothing of the others was made or changed.
    then, now = parts(before["source"], "pages"), parts(in_force(store, "source"), "pages")
    assert then.keys() == now.keys()
    assert len([part for part in now if now[part] != then[part]]) == 1
    assert rebuilt["source"]["shards_adopted"] == FILES - 1
    cleaned = [rows(before["clean"]), rows(in_force(store, "clean"))]
    assert cleaned[0].pop(url).split() == taken.split()
    assert cleaned[0] == cleaned[1]
    # Nothing is found of it any more, nor that it was seen.
    answer = json.loads(ingot("attribute", taken, "-r", recipe, "--json"))
    assert all(span["end"] - span["start"] < 50 for span in answer["spans"] + answer["left_out"])

    # The model still holds it, and whoever asks is told.
    still = {each["artifact"].partition("/")[0] for each in certificate["still_held"]}
    assert {"pretrain", "export"} <= still
    marked = f"holds forgotten pages {before['pretrain'].folder} (in force as {NAME}@latest)"
    assert marked in ingot("verify")
    assert "no longer fits" in ingot("verify")
    ingot("papers", "-r", recipe)
    card = Path(store.full(f"papers/{NAME}/latest/model-card.md")).read_text()
    assert f"- pretrain learned from pages of forgotten/{certificate['name']}" in card

    # Trained again it is another model, of which nothing has to be said.
    build(planner(recipe))
    assert in_force(store, "pretrain").folder != before["pretrain"].folder
    told = ingot("verify")
    assert f"{before['pretrain'].folder} (replaced)" in told
    assert "(in force" not in told
    ingot("papers", "-r", recipe)
    card = Path(store.full(f"papers/{NAME}/latest/model-card.md")).read_text()
    assert "no page that it learned from was taken out" in card
    ingot("gc", "--keep-last", "0", "--apply")
    assert "forgotten pages" not in ingot("verify")
