"""Which checkpoint a run resumes from, whatever a kill has left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.alignment.checkpoints import MARKER, is_complete, newest, seal, threads


def written(parent: Path, step: int) -> Path:
    folder = parent / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights" * step)
    (folder / "optimizer.pt").write_bytes(b"moments" * step)
    return folder


def test_none_before_the_first(tmp_path: Path) -> None:
    assert newest(tmp_path / "never", "run") is None


def test_a_sealed_one_replaces_those_before(tmp_path: Path) -> None:
    seal(written(tmp_path, 9), "run", (2, 0.5))
    seal(written(tmp_path, 10), "run", (2, 0.5))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"]
    assert newest(tmp_path, "run") == tmp_path / "checkpoint-10"
    assert threads(tmp_path / "checkpoint-10") == (2, 0.5)


def damage_size(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"wei")


def damage_missing(folder: Path) -> None:
    (folder / "optimizer.pt").unlink()


def damage_marker(folder: Path) -> None:
    (folder / MARKER).write_text('{"digest": "ru')


def damage_unsealed(folder: Path) -> None:
    (folder / MARKER).unlink()


@pytest.mark.parametrize("damage", [damage_size, damage_missing, damage_marker, damage_unsealed])
def test_a_damaged_one_gives_way_to_the_one_before(tmp_path: Path, damage: object) -> None:
    before = written(tmp_path / "runs", 4)
    seal(before, "run", (2, 0.5))
    last = written(tmp_path / "elsewhere", 12)
    seal(last, "run", (2, 0.5))
    last.rename(tmp_path / "runs" / "checkpoint-12")
    damage(tmp_path / "runs" / "checkpoint-12")  # type: ignore[operator]
    assert newest(tmp_path / "runs", "run") == before
    assert not (tmp_path / "runs" / "checkpoint-12").exists()


def test_another_run_does_not_go_on_from_it(tmp_path: Path) -> None:
    folder = written(tmp_path, 3)
    seal(folder, "run", (2, 0.5))
    assert is_complete(folder, "run")
    assert newest(tmp_path, "other") is None
