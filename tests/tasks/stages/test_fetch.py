"""Fetching is a stage: a list, then its files, adopted one by one, read by `source`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tasks.engine.errors import ExternalInputError
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildRequest, BuildResult, execute
from tasks.engine.run.plan import Planner, Selection, Status
from tasks.engine.run.requirements import problems
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.panels.panels import Table
from tasks.registry import STAGES
from tasks.stages.fetch import STAGE, NothingFetchedError, externals
from tasks.stages.fetch_config import FetchConfig
from tasks.stages.source_config import SourceConfig

FILES = {f"{number}.txt": f"text {number}\n" for number in range(6)} | {"a/b/deep.md": "# Deep\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "elsewhere" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "elsewhere"


def request(folder: Path, **fields: Any) -> BuildRequest:
    places = [{"name": "texts", "paths": [str(folder)]}]
    config = FetchConfig.model_validate({"workers": 1, "places": places, **fields})
    return BuildRequest(STAGE, config, {}, externals(config))


def fetch(home: Path, folder: Path) -> Artifact:
    return execute(request(folder), Store(str(home))).artifact


def rows(artifact: Artifact, output: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = artifact.data(output).table().to_pylist()
    return found


def shards(artifact: Artifact) -> tuple[int, int]:
    timings = artifact.manifest.timings
    return timings.shards_built, timings.shards_adopted


def recipe(folder: Path, fetched: bool) -> dict[str, Any]:
    direct = {"name": "own", "paths": [str(folder)]}
    source = {"name": "own", "fetched": "texts"} if fetched else direct
    first = {"fetch": {"workers": 1, "places": [{"name": "texts", "paths": [str(folder)]}]}}
    return {**(first if fetched else {}), "source": {"workers": 1, "sources": [source]}}


def planner(home: Path, sections: dict[str, Any], **asked: Any) -> Planner:
    configs = {name: STAGES[name].config.model_validate(it) for name, it in sections.items()}
    wired = chain(STAGES, configs)
    return Planner(wired, configs, "mine", Store(str(home)), Selection(**asked))


def built(home: Path, sections: dict[str, Any], **asked: Any) -> dict[str, BuildResult]:
    return build(planner(home, sections, **asked))


def test_a_folder_becomes_a_snapshot(tmp_path: Path, folder: Path) -> None:
    artifact = fetch(tmp_path / "home", folder)
    copies = artifact.data("files").folder() / "texts"
    found = {p.relative_to(copies).as_posix(): p.read_text() for p in copies.rglob("*.*")}
    assert found == FILES
    assert {row["file"] for row in rows(artifact, "listed")} == set(FILES)
    assert {(row["file"], row["bytes"]) for row in rows(artifact, "fetched")} == {
        (name, len(text)) for name, text in FILES.items()
    }
    totals = artifact.manifest.totals
    assert (totals.rows_in, totals.kept, totals.rejected) == (len(FILES), len(FILES), {})
    assert shards(artifact) == (1 + len(FILES), 0), "the list, and a shard a file"
    table = STAGE.panels(artifact)[0]
    assert isinstance(table, Table)
    assert table.rows == [("texts", 7, 7, 0, sum(map(len, FILES.values())))]


def test_pages_are_the_same_as_read_from_the_folder(tmp_path: Path, folder: Path) -> None:
    through = built(tmp_path / "one", recipe(folder, fetched=True))["source"].artifact
    direct = built(tmp_path / "two", recipe(folder, fetched=False))["source"].artifact
    for output in direct.manifest.outputs:
        assert through.data(output).data_id == direct.data(output).data_id
    assert through.manifest.inputs["fetched"].stage == "fetch"
    assert through.manifest.externals["files"].items == []


def test_what_was_fetched_stays_when_the_folder_is_gone(tmp_path: Path, folder: Path) -> None:
    sections = recipe(folder, fetched=True)
    built(tmp_path / "home", sections)
    shutil.rmtree(folder)
    sections["source"]["max_record_bytes"] = 5_000
    again = built(tmp_path / "home", sections, start=("source",))
    assert again["source"].artifact.data("pages").rows == len(FILES)


def test_a_new_file_alone_is_fetched(tmp_path: Path, folder: Path) -> None:
    before = fetch(tmp_path / "home", folder)
    assert execute(request(folder), Store(str(tmp_path / "home"))).cached
    (folder / "1b.txt").write_text("new")
    after = fetch(tmp_path / "home", folder)
    assert shards(after) == (2, len(FILES)), "the list, and the new file"
    (folder / "2.txt").write_text("other bytes")
    assert shards(fetch(tmp_path / "home", folder)) == (2, len(FILES))
    assert set(before.data("files").parts) < set(after.data("files").parts)


def test_what_cannot_be_had_is_rejected_and_tried_again(tmp_path: Path, folder: Path) -> None:
    order = request(folder)
    (folder / "0.txt").unlink()
    (folder / "1.txt").write_text("TEXT 1\n")
    (folder / "2.txt").write_text("longer than before")
    artifact = execute(order, Store(str(tmp_path / "home"))).artifact
    reasons = {row["detail"].split(": ")[1]: row["reason"] for row in rows(artifact, "rejected")}
    assert reasons == {"0.txt": "missing", "1.txt": "changed", "2.txt": "wrong_length"}
    assert artifact.manifest.totals.rejected == {"missing": 1, "changed": 1, "wrong_length": 1}
    assert len(artifact.data("files").parts) == len(FILES) - 3
    assert [panel.title for panel in STAGE.panels(artifact)] == ["Places", "Not fetched"]
    for name in ("0.txt", "1.txt", "2.txt"):
        (folder / name).write_text(FILES[name])
    (folder / "new.txt").write_text("new")
    after = fetch(tmp_path / "home", folder)
    assert after.manifest.totals.kept == len(FILES) + 1
    assert shards(after) == (5, len(FILES) - 3), "the list, the new file, and those three"


def test_nothing_at_all_is_an_error(tmp_path: Path, folder: Path) -> None:
    order = request(folder)
    shutil.rmtree(folder)
    with pytest.raises(
        NothingFetchedError, match=r"nothing .* from texts .*7 missing such as texts: "
    ):
        execute(order, Store(str(tmp_path / "home")))


def test_the_same_bytes_whatever_the_number_of_workers(tmp_path: Path, folder: Path) -> None:
    one = execute(request(folder), Store(str(tmp_path / "one"))).artifact
    two = execute(request(folder, workers=2), Store(str(tmp_path / "two"))).artifact
    three = execute(request(folder), Store(f"memory://{tmp_path.name}")).artifact
    for output in STAGE.outputs:
        assert one.data(output).data_id == two.data(output).data_id == three.data(output).data_id


def test_after_kill_9_the_list_and_what_was_fetched_are_adopted(
    tmp_path: Path, folder: Path
) -> None:
    for number in range(300):
        (folder / f"many{number:03}.txt").write_text(f"{number}\n" * 2_000)
    sections = recipe(folder, fetched=True)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"name": "mine", **sections}))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.kill_runner"),
            *(str(tmp_path / "home"), str(tmp_path / "recipe.yaml")),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["stage"] == "fetch" and event.get("done", 0) >= 20:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    receipts = list((tmp_path / "home").glob("artifacts/fetch/*/0001/receipts/*.json"))
    assert 20 <= len(receipts) < 308
    assert not list((tmp_path / "home").glob("artifacts/fetch/*/*/manifest.json"))
    done = built(tmp_path / "home", sections)
    assert shards(done["fetch"].artifact) == (308 - len(receipts), len(receipts))
    assert done["source"].artifact.data("pages").rows == 307
    undisturbed = built(tmp_path / "other", sections)
    for output in STAGE.outputs:
        ours, theirs = (it["fetch"].artifact.data(output) for it in (done, undisturbed))
        assert ours.data_id == theirs.data_id


def test_a_recipe_without_it_is_what_it_was(tmp_path: Path, folder: Path) -> None:
    spec = {"name": "own", "paths": [str(folder)]}
    config = SourceConfig.model_validate({"sources": [spec]})
    assert "fetched" not in config.identity()["sources"][0]
    sections = recipe(folder, fetched=False)
    built(tmp_path / "home", sections)
    artifact = channels.resolve(Store(str(tmp_path / "home")), "mine", "source")
    assert artifact is not None
    assert artifact.manifest.inputs == {}
    # Nor does a place whose files no source asked for touch the files of the others.
    other = {**recipe(folder, fetched=True), "source": sections["source"]}
    again = built(tmp_path / "home", other)["source"].artifact
    assert shards(again) == (0, len(FILES))


def test_a_changed_folder_is_seen_by_the_plan(tmp_path: Path, folder: Path) -> None:
    sections = recipe(folder, fetched=True)
    built(tmp_path / "home", sections)
    (folder / "new.txt").write_text("new")
    rows = planner(tmp_path / "home", sections).plan()
    assert [(row.stage, row.status) for row in rows] == [
        ("fetch", Status.STALE), ("source", Status.PENDING),
    ]  # fmt: skip
    assert rows[0].reasons == ("files: new texts/new.txt",)


def test_places_and_sources_that_do_not_go_together_are_told(tmp_path: Path, folder: Path) -> None:
    sections = recipe(folder, fetched=True)
    configs = {name: STAGES[name].config.model_validate(it) for name, it in sections.items()}
    assert not problems(STAGES, configs)
    lonely = {"source": configs["source"]}
    assert problems(STAGES, lonely) == [
        "source.sources.0.fetched: there is no place 'texts'; "
        "name it in fetch.places, a section of its own in the recipe"
    ]
    with pytest.raises(ExternalInputError, match=r"fetch has no file of the place 'texts'"):
        built(tmp_path / "home", {"source": sections["source"]})
    other = {"name": "own", "fetched": "texts", "kind": "warc"}
    sections["source"]["sources"] = [{**other, "kind": "auto"}]
    (folder / "odd.xyz").write_text("?")
    with pytest.raises(ExternalInputError, match=r"'own/odd\.xyz' does not say what it is"):
        built(tmp_path / "home", sections)
    with pytest.raises(ValidationError, match="neither `paths` nor"):
        SourceConfig.model_validate({"sources": [{**other, "paths": ["x"]}]})


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([], "fetch.places is empty"),
        ([{"name": "p"}], r"fetch\.places\[p\]\.paths is empty"),
        ([{"name": "p", "paths": ["nowhere"]}], r"fetch\.places\[p\]\.paths: 'nowhere' matches no"),
    ],
)
def test_places_that_are_none_are_told_at_plan_time(
    places: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(ExternalInputError, match=message):
        externals(FetchConfig.model_validate({"places": places}))
    with pytest.raises(ValidationError, match="given twice: p"):
        FetchConfig.model_validate({"places": [{"name": "p"}, {"name": "p"}]})
