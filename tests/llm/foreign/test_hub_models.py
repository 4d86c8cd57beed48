"""A model of the hub is fetched once and pinned; without a network it is told what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm.foreign.hub import HubModelError, hub_model
from llm.hub_access import KEPT_OFF
from tasks.engine.errors import ExternalInputError
from tasks.stages.sft_start import START, revision, start_folder, start_snapshots
from tests.llm.foreign.hub_of_models import HubOfModels, hub_of_models
from tests.llm.foreign_models import foreign_folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubOfModels]:
    from huggingface_hub import constants

    cache = str(tmp_path / "cache")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", cache)
    monkeypatch.setenv("HF_HUB_CACHE", cache)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv(KEPT_OFF, "1")
    with hub_of_models() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


def test_a_revision_is_fetched_once_and_stays(hub: HubOfModels, tmp_path: Path) -> None:
    source = foreign_folder("gpt2", tmp_path / "gpt2")
    (source / "pytorch_model.bin").write_bytes(b"another copy")
    first = hub.push(source)
    found = start_snapshots("acme/tiny", "")
    folder = start_folder(found)
    assert revision(folder) == first
    assert not (folder / "pytorch_model.bin").exists()
    # The same model in a folder is the same input.
    assert start_snapshots(str(source), "")[START].data_id == found[START].data_id
    # The branch moves on: what was resolved stays, and nobody is asked.
    second = hub.push(foreign_folder("gpt2", tmp_path / "gpt2", seed=1))
    asked = len(hub.asked)
    assert start_snapshots("acme/tiny", "")[START].data_id == found[START].data_id
    assert len(hub.asked) == asked
    # Another state of it is named by its commit.
    other = start_snapshots(f"acme/tiny@{second}", "")
    assert revision(start_folder(other)) == second
    assert other[START].data_id != found[START].data_id


def test_what_is_not_there_is_told(hub: HubOfModels, tmp_path: Path) -> None:
    hub.push(foreign_folder("gpt2", tmp_path / "gpt2"))
    with pytest.raises(HubModelError, match="has the model, and no revision 'v9' of it"):
        hub_model("acme/tiny@v9")
    with pytest.raises(HubModelError, match=r"no such model \(or it is private"):
        hub_model("acme/none")


def test_whoever_keeps_off_the_hub_is_not_taken_there(
    hub: HubOfModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEPT_OFF)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubModelError, match="HF_HUB_OFFLINE is set, so the hub is not asked"):
        hub_model("acme/tiny")
    assert not hub.asked


def test_without_a_network(hub: HubOfModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ExternalInputError) as caught:
        start_snapshots("acme/tiny@v1", "")
    told = str(caught.value)
    assert "sft.start_from: acme/tiny@v1 is not on this machine" in told
    assert "the hub cannot be reached" in told
    assert "hf download acme/tiny --revision v1" in told
    assert "HF_ENDPOINT" in told


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ExternalInputError, match=r"sft\.start_from: .* is no model: there is no"):
        start_snapshots(str(tmp_path), "")
