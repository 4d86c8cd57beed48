"""`ingot publish` and `ingot export --gguf` on an exported model; the hub is a stand-in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from flows.cli import publishing, results
from flows.cli.built import first_built
from flows.cli.publishing import Place
from tasks.engine.errors import MissingInputError
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tests.flows.command import COMMAND
from tests.llm.export.stand_in_hub import TOKEN, running_hub
from tests.tasks.stages.test_evaluate_and_export_stages import EXPORT
from tests.tasks.stand_in_models import StandInConfig, built

STAND_IN = StandInConfig()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which quickstart means a model with a GGUF file, and other one without."""
    home = tmp_path_factory.mktemp("home")
    plain = built(home, pretrain=STAND_IN, export=EXPORT)["export"].artifact
    config = EXPORT.model_copy(update={"gguf": ["f16"]})
    full = built(home, pretrain=STAND_IN, export=config)["export"].artifact
    channels.point(full.store, "quickstart", full)
    channels.point(plain.store, "quickstart", plain, "plain")
    return home


def publish(home: Path, repository: str, *options: str, **environment: str) -> str:
    """What the command prints, its errors too."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    told: Mapping[str, str] = {
        **kept,
        "INGOT_HOME": str(home),
        "INGOT_ROOT": str(home),
        "HF_HUB_DISABLE_XET": "1",
        **environment,
    }
    command = [*COMMAND, "publish", "hf", repository, *options]
    ended = subprocess.run(
        command, env=told, capture_output=True, text=True, timeout=200, check=False
    )
    return f"{ended.stdout}{ended.stderr}"


def folders(artifact: Artifact, *outputs: str) -> dict[str, bytes]:
    found = [path for name in outputs for path in artifact.data(name).folder().iterdir()]
    return {path.name: path.read_bytes() for path in found}


def resolved(home: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    monkeypatch.setenv("INGOT_HOME", str(home))
    return first_built("quickstart", "latest", ("export",))


def test_a_dry_run_shows_and_sends_nothing(home: Path) -> None:
    with running_hub() as hub:
        said = publish(home, "me/tiny", HF_ENDPOINT=hub.address, HF_TOKEN=TOKEN)
        assert hub.asked == []
        assert f"{hub.address}/me/tiny, to be read by nobody but you (private):" in said
    for name in ("model.safetensors", "README.md", "tiny-F16.gguf", "Modelfile"):
        assert name in said
    assert "nothing was sent; --yes uploads" in said


def test_yes_uploads_what_was_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = resolved(home, monkeypatch)
    with running_hub() as hub:
        said = publish(home, "me/tiny", "--yes", HF_ENDPOINT=hub.address, HF_TOKEN=TOKEN)
        assert f"{hub.address}/me/tiny/commit/1" in said
        assert hub.private == {"me/tiny": True}
        assert hub.files["me/tiny"] == folders(artifact, "model", "gguf")
        build = artifact.manifest.build_id[:16]
        assert hub.commits["me/tiny"] == [f"The pretrain model of quickstart, Ingot build {build}"]
        options = ("--yes", "--no-gguf", "--public")
        publish(home, "me/other", *options, HF_ENDPOINT=hub.address, HF_TOKEN=TOKEN)
        assert hub.files["me/other"] == folders(artifact, "model")
        assert hub.private["me/other"] is False


def test_faults_are_one_line(home: Path) -> None:
    said = publish(home, "me/tiny", "--yes").splitlines()
    assert said[-1].startswith("MissingTokenError: set HF_TOKEN")
    assert publish(home, "tiny").startswith("RepositoryNameError: 'tiny'")


def test_a_model_without_gguf_files_is_published_without(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INGOT_HOME", str(home))
    publishing.publish(Place.HF, "me/tiny", channel="plain", gguf=True, public=False, yes=False)
    assert "gguf" not in capsys.readouterr().out


def test_export_copies_gguf_files_when_asked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = resolved(home, monkeypatch)
    results.export(tmp_path / "all", gguf=True)
    found = {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()}
    assert found == folders(artifact, "model", "gguf")
    results.export(tmp_path / "model", gguf=False)
    assert {path.name for path in (tmp_path / "model").iterdir()} == set(folders(artifact, "model"))
    with pytest.raises(MissingInputError, match=r"export\.gguf"):
        results.export(tmp_path / "none", channel="plain", gguf=True)
    assert not (tmp_path / "none").exists()
