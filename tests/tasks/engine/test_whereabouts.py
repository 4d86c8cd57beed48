"""Where a document is: remembered, the answers are those of reading everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.engine.errors import MissingInputError
from tasks.engine.run.build import build
from tasks.engine.store.artifact import Artifact, Data
from tasks.engine.store.store import Store
from tasks.engine.upkeep import whereabouts
from tasks.engine.upkeep.trace import resolve, trace
from tests.tasks.documents_stage import CLEAN, built_on, write_parts
from tests.tasks.engine.small_chain import planner, write_corpus

FILES = 5


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Artifact]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    corpus = write_corpus(tmp_path / "corpus", files=FILES, lines=3)
    done = build(planner(Store(str(tmp_path / "home")), corpus))
    return [built.artifact for built in done.values()]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the parts that are read."""
    paths: list[str] = []
    read = Data.part_table

    def noted(self: Data, part: object, columns: object = None) -> object:
        paths.append(part.path)  # type: ignore[attr-defined]
        return read(self, part, columns)  # type: ignore[arg-type]

    monkeypatch.setattr(Data, "part_table", noted)
    return paths


def test_answers_are_those_of_reading_all(
    artifacts: list[Artifact], opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = artifacts[0].data("texts")
    ids = texts.table(["doc_id"])["doc_id"].to_pylist()
    read = {doc_id: trace(artifacts, doc_id) for doc_id in ids}
    monkeypatch.setattr(whereabouts, "FEW", 1)
    heard: list[str] = []
    assert {doc_id: trace(artifacts, doc_id, heard.append) for doc_id in ids} == read
    assert all(read.values())
    assert len(heard) == 3, "each table that has ids is read once"
    assert heard[0].startswith(f"reading {FILES} parts once")
    opened.clear()
    for doc_id in ids:
        assert resolve(artifacts, doc_id[:12]) == doc_id
    assert len(opened) == len(ids), "one part a question"
    opened.clear()
    with pytest.raises(MissingInputError, match="no document"):
        resolve(artifacts, "nothing like it")
    assert not opened
    with pytest.raises(MissingInputError, match=f"matches {3 * FILES} documents"):
        resolve(artifacts, "")


def test_one_reading_remembers_ids_and_addresses(
    opened: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(whereabouts, "FEW", 1)
    rows = [
        {
            "doc_id": f"{number}".ljust(32, "0"),
            "url": f"https://example.org/{number}",
            "text": "",
            "source": "",
        }
        for number in range(FILES)
    ]
    corpus = write_parts(tmp_path / "corpus", [[row] for row in rows])
    artifacts = [built_on(tmp_path / "home", (CLEAN,), corpus, {})["clean"].artifact]
    opened.clear()
    heard: list[str] = []
    with pytest.raises(MissingInputError, match="no document"):
        resolve(artifacts, "neither an id nor an address", heard.append)
    assert len(heard) == 1
    assert len(opened) == FILES
    for row in rows:
        assert resolve(artifacts, row["url"], heard.append) == row["doc_id"]
        assert resolve(artifacts, row["doc_id"], heard.append) == row["doc_id"]
    assert len(heard) == 1
    assert len(opened) == FILES + 2 * FILES, "one part a question"


@pytest.mark.parametrize("left", [b"", b"no array", None])
def test_what_a_crash_left_is_read_again(
    left: bytes | None, artifacts: list[Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whereabouts, "FEW", 1)
    wanted = artifacts[0].data("texts").table(["doc_id"])["doc_id"][0].as_py()
    found = trace(artifacts, wanted)
    kept = sorted((tmp_path / "cache" / "ingot" / "whereabouts").iterdir())
    assert len(kept) == 3
    for path in kept:
        path.write_bytes(path.read_bytes()[:-7] if left is None else left)
    assert trace(artifacts, wanted) == found
