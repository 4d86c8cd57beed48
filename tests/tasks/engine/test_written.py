"""Files that shards write into an output that is a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.engine.declare import Output
from tasks.engine.errors import OutputError
from tasks.engine.run.execute import BuildRequest, BuildResult, execute
from tasks.engine.shards.unit import Emitted, NewFile, RowsIn, Unit
from tasks.engine.stage.out import Out
from tasks.engine.store.artifact import Inputs
from tasks.engine.store.store import Store
from tests.tasks.engine.small_chain import READ, ReadConfig, read_externals, write_corpus


def copy(unit: Unit, output: str, path: str, fail_on: str) -> Iterator[Emitted]:
    """The file itself, under some path."""
    yield RowsIn(0)
    assert list(unit.scratch.iterdir()) == [], "a first try leaves nothing behind"
    draft = unit.scratch / "draft"
    draft.write_bytes(unit.path.read_bytes())
    if fail_on and fail_on in draft.read_text():
        raise ValueError(fail_on)
    yield NewFile(output, path.format(name=unit.name), draft)


def built(tmp_path: Path, path: str, output: str = "copies", fail_on: str = "") -> BuildResult:
    def run(config: ReadConfig, inputs: Inputs, out: Out) -> None:
        arguments = {"output": output, "path": path, "fail_on": fail_on}
        out.map(copy, over=inputs.external["files"].items, arguments=arguments)

    outputs = {**READ.outputs, "copies": Output("As they are.")}
    stage = replace(READ, outputs=outputs, run=run)
    config = ReadConfig(paths=[str(write_corpus(tmp_path / "corpus") / "*.txt")], workers=1)
    order = BuildRequest(stage, config, {}, read_externals(config))
    return execute(order, Store(str(tmp_path / "home")))


def test_files_of_shards_are_a_folder(tmp_path: Path) -> None:
    data = built(tmp_path, "below/{name}.copy").artifact.data("copies")
    assert data.schema is None
    for number in range(5):
        ours = (tmp_path / "corpus" / f"file{number}.txt").read_bytes()
        assert (data.folder() / f"below/file{number}.txt.copy").read_bytes() == ours


def test_they_are_adopted_as_parts_are(tmp_path: Path) -> None:
    before = built(tmp_path, "{name}").artifact
    (tmp_path / "home" / before.folder / "manifest.json").unlink()
    (before.data("copies").folder() / "file3.txt").write_bytes(b"other")
    timings = built(tmp_path, "{name}").artifact.manifest.timings
    assert (timings.shards_built, timings.shards_adopted) == (1, 4)


@pytest.mark.parametrize("path", ["/etc/{name}", "../{name}", "a/../../{name}", "", "a//{name}"])
def test_no_file_is_put_outside_of_its_output(tmp_path: Path, path: str) -> None:
    with pytest.raises(OutputError, match="not a path in it"):
        built(tmp_path, path)


def test_a_table_takes_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="a file for the table 'texts'"):
        built(tmp_path, "{name}", output="texts")
    with pytest.raises(OutputError, match="'nowhere', the stage declares"):
        built(tmp_path, "{name}", output="nowhere")


def test_two_shards_cannot_write_one_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"one\.txt is written twice"):
        built(tmp_path, "one.txt")


def test_a_second_try_begins_anew(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"1 shard failed twice(.|\n)*file 3"):
        built(tmp_path, "{name}", fail_on="of file 3")
