"""Folders for what is not finished yet, of stores that are elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.engine.run.build import build
from tasks.engine.store.staging import Staging
from tasks.engine.store.store import Store
from tests.tasks.engine.small_chain import planner, write_corpus


def test_what_a_killed_process_left_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tasks.engine.store.staging import Staging;"
        "place = Staging(Path(sys.argv[1])); (place.folder / 'half').write_text('x');"
        "print(place.folder, flush=True); sys.stdin.read()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(2)
    ]
    dead, living = (
        Path(str(process.stdout and process.stdout.readline())[:-1]) for process in processes
    )
    processes[0].kill()
    processes[0].wait()
    assert (dead / "half").exists()
    own = Staging(tmp_path)
    assert not dead.exists()
    assert (living / "half").exists()
    processes[1].communicate("")
    own.close()
    Staging(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_store_elsewhere_leaves_nothing_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    store = Store(f"memory://{tmp_path.name}")
    corpus = write_corpus(tmp_path / "corpus", files=2)
    build(planner(store, corpus))
    with pytest.raises(Exception, match="ids in"):
        build(planner(store, corpus, shout={"lose": True}))
    assert not [path for path in tmp_path.rglob("*staging*") if list(path.iterdir())]
    assert list((tmp_path / "temporary").iterdir()) == []
    left = [path for path in store.files("artifacts/shout") if "/0001/" in path]
    assert all(
        "receipts" in path
        or "/texts/" in path
        or "/lengths/" in path
        or path.endswith(("manifest.json", "panels.json", "reserved", ".arrow"))
        for path in left
    )
