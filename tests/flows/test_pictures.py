"""Pictures in Prefect's pages go when the attempts they show do, and not before."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows import pictures, processes, reports
from flows.cli.inspecting import gc
from flows.planning import planner_for
from tasks.engine.run.build import build
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.panels.panels import Curve, Flow, Graph, Stream
from tasks.recipe import load
from tests.flows.pages import write_page, write_recipe


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Of a home whose pictures are served."""
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    found = Store(str(tmp_path / "home"))
    assert reports.ensure_reports(found)
    yield found
    processes.stop_all()


def built(tmp_path: Path, store: Store, topic: str) -> Artifact:
    write_page(tmp_path / "pages", "page.html", topic)
    recipe = write_recipe(tmp_path / "mine.yaml", tmp_path / "pages")
    return build(planner_for(load(recipe), recipe, store))["clean"].artifact


def hung(artifact: Artifact, name: str) -> Path:
    address = pictures.publish_picture(
        Curve(name, "step", "loss", {"train": [(0, 2.0), (1, 1.0)]}), artifact
    )
    assert address is not None
    with urllib.request.urlopen(address) as served:
        assert name.encode() in served.read()
    return reports.shown_folder() / address.split("/", 3)[3]


def test_a_picture_goes_with_the_attempt_it_shows(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = built(tmp_path, store, "Severn"), built(tmp_path, store, "Wye")
    gone, kept = hung(old, "Severn"), hung(new, "Wye")
    assert hung(new, "Wye") == kept
    size = gone.stat().st_size
    gc(keep_last=1)
    told = capsys.readouterr().out.splitlines()[-1]
    assert told == (
        "would remove (use --apply): 1 picture of attempts that are or would be removed, "
        f"{size:,} bytes"
    )
    assert gone.exists()
    gc(keep_last=1, apply=True)
    assert not store.exists(old.folder)
    assert not gone.parent.exists()
    assert kept.exists()
    capsys.readouterr()
    gc(keep_last=1, apply=True)
    assert "picture" not in capsys.readouterr().out


def test_what_was_hung_where_attempts_had_no_folders_goes(store: Store) -> None:
    flat = reports.shown_folder() / reports.PICTURES / "0123.svg"
    flat.parent.mkdir(parents=True)
    flat.write_text("<svg/>")
    assert pictures.outdated(store) == [flat]
    assert pictures.outdated(Store("memory://elsewhere")) == []


def lineage(number: int, store: Store) -> str | None:
    return pictures.publish_lineage(Graph("Lineage", {"a": f"stage {number}"}, []), store)


def experiment(number: int, store: Store) -> str | None:
    flow = Flow("Worth", "documents", [Stream("a", "b", number + 1, "kept")])
    return pictures.publish_experiment(flow, store)


@pytest.mark.parametrize("publish", [lineage, experiment])
def test_those_shown_last_stay(store: Store, publish: Callable[[int, Store], str | None]) -> None:
    for age, number in enumerate(reversed(range(25))):
        address = publish(number, store)
        assert address is not None
        path = reports.shown_folder() / address.split("/", 3)[3]
        os.utime(path, (1e9 - age, 1e9 - age))
    going = set(pictures.outdated(store))
    assert len(going) == 5
    # Shown again, the oldest is the newest.
    publish(0, store)
    assert len(set(pictures.outdated(store)) & going) == 4


def test_what_a_killed_process_left_half_written_goes_later(store: Store) -> None:
    half = reports.shown_folder() / reports.PICTURES / "lineage" / "0123.svg.4711"
    half.parent.mkdir(parents=True)
    half.write_text("<sv")
    assert pictures.outdated(store) == []
    os.utime(half, (1e9, 1e9))
    assert pictures.outdated(store) == [half]
    pictures.take_down([half])
    assert not half.parent.exists()
