"""Refreshes through the real chain from files to sequences: what a new file costs and changes, that
they end where one build does, and what is left when they are killed."""

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

from tasks.engine.run.build import build
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tests.tasks.refreshed_corpus import STAGES, plan_of, write_day, write_recipe

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a recipe, a day's documents, and a home in which they are built."""
    place = tmp_path_factory.mktemp("first")
    write_day(place / "days", 0)
    build(plan_of(place / "home", write_recipe(place)))
    return place


@pytest.fixture
def place(first: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(first, tmp_path / "place")
    write_recipe(tmp_path / "place")
    return tmp_path / "place"


def latest(place: Path) -> dict[str, Artifact]:
    store = Store(str(place / "home"))
    found = {stage: channels.resolve(store, "growing", stage) for stage in STAGES}
    return {stage: artifact for stage, artifact in found.items() if artifact is not None}


def refreshed(place: Path) -> dict[str, Artifact]:
    done = build(plan_of(place / "home", place / "growing.yaml"))
    return {stage: built.artifact for stage, built in done.items()}


@pytest.fixture(scope="module")
def grown(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the first place, refreshed on each of two days."""
    place = tmp_path_factory.mktemp("grown") / "place"
    shutil.copytree(first, place)
    write_recipe(place)
    for day in (1, 2):
        write_day(place / "days", day)
        refreshed(place)
    return place


def ids(artifact: Artifact, output: str) -> set[str]:
    return set(artifact.data(output).table(["doc_id"]).column("doc_id").to_pylist())


def texts(artifact: Artifact) -> dict[str, dict[str, Any]]:
    rows = artifact.data("documents").table(["doc_id", "text", "split"]).to_pylist()
    return {row["doc_id"]: row for row in rows}


def test_what_is_published_stays_and_is_not_made_again(first: Path, grown: Path) -> None:
    before, after = latest(first), latest(grown)
    assert after["tokenizer"].folder == before["tokenizer"].folder
    assert after["filter"].data("cuts").data_id == before["filter"].data("cuts").data_id
    was, now = texts(before["decontaminate"]), texts(after["decontaminate"])
    assert was.items() <= now.items(), "no document vanished, and none changed sides"
    assert len(now) > len(was)
    old, new = before["pack"].data("sequences"), after["pack"].data("sequences")
    assert new.parts[: len(old.parts)] == old.parts
    assert len(new.parts) == len(old.parts) + 2
    timings = after["pack"].manifest.timings  # built: the new part's tokens, and their rows
    assert (timings.shards_built, timings.shards_adopted) == (2, 2)


def test_every_token_is_in_one_row_of_one_partition(grown: Path) -> None:
    pack = latest(grown)["pack"]
    parts = pack.data("partitions")
    assert [part.path for part in parts.parts] == [f"part-0000{n}.parquet" for n in range(3)]
    assert ids(pack, "partitions") == ids(pack, "tokens")
    rows = pack.data("sequences").table().to_pylist()
    assert len({row["sequence_id"] for row in rows}) == len(rows)
    found: dict[str, dict[int, list[int]]] = {}
    for row in rows:
        at = 0
        segments = zip(row["doc_ids"], row["doc_offsets"], row["doc_lengths"], strict=True)
        for doc_id, offset, length in segments:
            found.setdefault(doc_id, {})[offset] = row["tokens"][at : at + length]
            at += length
    joined = {
        doc_id: [token for offset in sorted(pieces) for token in pieces[offset]]
        for doc_id, pieces in found.items()
    }
    tokens = pack.data("tokens").table(["doc_id", "tokens"]).to_pylist()
    assert joined == {row["doc_id"]: row["tokens"] for row in tokens}
    totals = pack.manifest.totals
    assert totals.rows_in == totals.kept == sum(len(row["tokens"]) for row in tokens)


def test_refreshes_end_where_one_build_does(first: Path, grown: Path, tmp_path: Path) -> None:
    held = {stage: latest(first)[stage] for stage in ("filter", "tokenizer")}
    whole = write_recipe(grown, "whole", hold=list(held))
    store = Store(str(tmp_path))
    for artifact in held.values():
        shutil.copytree(first / "home" / artifact.folder, tmp_path / artifact.folder)
        channels.point(store, "whole", artifact)
    once, after = build(plan_of(tmp_path, whole)), latest(grown)
    for stage, outputs in {
        "filter": ("documents", "removed"),
        "dedup": ("documents", "removed"),
        "decontaminate": ("documents", "removed", "matches"),
        "pack": ("tokens", "rejected"),
    }.items():
        for output in outputs:
            assert ids(after[stage], output) == ids(once[stage].artifact, output), (stage, output)
    removed = once["dedup"].artifact.manifest.totals.removed
    assert sum(removed.values()) > 10
    assert once["filter"].artifact.manifest.totals.removed["word_count"] > 5


def test_nothing_new_is_nothing_to_do(grown: Path) -> None:
    rows = plan_of(grown / "home", grown / "growing.yaml").plan()
    assert {row.stage: row.runs for row in rows} == dict.fromkeys(STAGES, False)
    again = build(plan_of(grown / "home", grown / "growing.yaml"))
    assert all(each.cached for each in again.values())


def test_a_document_that_goes_takes_its_own_partition_along(grown: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    shutil.copytree(grown, place)
    write_recipe(place)
    before = latest(place)["pack"]
    gone = place / "days" / "day1.jsonl"
    kept = gone.read_text().splitlines()[5:]
    gone.write_text("".join(line + "\n" for line in kept))
    after = refreshed(place)["pack"]
    digests = [
        {part.path: part.sha256 for part in each.data("sequences").parts}
        for each in (before, after)
    ]
    same = {path for path in digests[0] if digests[0][path] == digests[1].get(path)}
    assert "part-00001.parquet" not in same
    assert "part-00000.parquet" in same
    assert ids(after, "partitions") == ids(after, "tokens")


def start(place: Path) -> Any:
    command = [sys.executable, "-m", "tests.tasks.refreshed_corpus"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [*command, str(place / "home"), str(place / "growing.yaml")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def outputs(place: Path) -> dict[str, dict[str, str]]:
    found = {stage: artifact.manifest.outputs for stage, artifact in latest(place).items()}
    return {
        stage: {name: output.data_id for name, output in made.items()}
        for stage, made in found.items()
    }


def test_killed_anywhere_and_rerun_it_loses_and_doubles_nothing(
    place: Path, first: Path, tmp_path: Path
) -> None:
    quiet = tmp_path / "quiet"
    shutil.copytree(first, quiet)
    write_recipe(quiet)
    for each in (quiet, place):
        write_day(each / "days", 1)
    refreshed(quiet)
    for stage in ("clean", "annotate", "dedup", "pack"):
        process = start(place)
        for line in process.stdout:
            if json.loads(line)["stage"] == stage:
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
    refreshed(place)
    assert outputs(place) == outputs(quiet)


def test_two_refreshes_at_once_do_the_work_once(place: Path) -> None:
    write_day(place / "days", 1)
    runs = [start(place), start(place)]
    cached = []
    for process in runs:
        said = [json.loads(line) for line in process.stdout]
        assert process.wait() == 0
        cached.append({line["stage"]: line["cached"] for line in said if "cached" in line})
    assert [cached[0]["tokenizer"], cached[1]["tokenizer"]] == [True, True]
    for stage in set(STAGES) - {"tokenizer"}:
        assert sorted(run[stage] for run in cached) == [False, True], stage
        made = list((place / "home" / "artifacts" / stage).glob("*/*/manifest.json"))
        assert len(made) == 2, stage
