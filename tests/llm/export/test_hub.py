"""Uploads to a server that speaks the hub's protocol, through the hub's own client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm.export.hub import (
    HubError,
    MissingTokenError,
    PublicRepositoryError,
    RepositoryNameError,
    Upload,
    check_repository,
    publish,
    uploads,
)
from tests.llm.export.stand_in_hub import TOKEN, StandInHub, running_hub

FILES = {
    "README.md": b"# a model\n",
    "config.json": b"{}",
    "model.safetensors": bytes(range(256)) * 5000,
    "tiny-F16.gguf": b"GGUF" + bytes(100_000),
    "chat_template.jinja": "{{ 'é' }}".encode(),
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    from huggingface_hub import constants

    # Large files over Git LFS, which the stand-in speaks; and on the net, whatever other tests set.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with running_hub() as running:
        yield running


@pytest.fixture
def files(tmp_path: Path) -> list[Upload]:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    return uploads(tmp_path)


def environment(hub: StandInHub, token: str = TOKEN) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.address, "HF_TOKEN": token}


def test_every_file_arrives_as_it_is(hub: StandInHub, files: list[Upload]) -> None:
    url = publish("me/tiny", files, False, "made", environment(hub))
    assert url.startswith(f"{hub.address}/me/tiny/")
    assert hub.private == {"me/tiny": True}
    assert hub.files["me/tiny"] == FILES
    assert hub.commits["me/tiny"] == ["made"]
    assert len(hub.objects) == 2


def test_public_only_when_told(hub: StandInHub, files: list[Upload]) -> None:
    publish("me/tiny", files, True, "made", environment(hub))
    assert hub.private == {"me/tiny": False}
    sent = len(hub.asked)
    with pytest.raises(PublicRepositoryError, match="--public"):
        publish("me/tiny", files, False, "again", environment(hub))
    assert hub.commits["me/tiny"] == ["made"]
    assert not [asked for asked in hub.asked[sent:] if not asked.startswith("GET")]


def test_what_is_there_is_not_sent_again(hub: StandInHub, files: list[Upload]) -> None:
    publish("me/tiny", files, False, "first", environment(hub))
    before = sum(asked.startswith("PUT") for asked in hub.asked)
    publish("me/tiny", files, False, "second", environment(hub))
    assert before == 2
    assert sum(asked.startswith("PUT") for asked in hub.asked) == before
    assert hub.files["me/tiny"] == FILES


def test_a_wrong_token(hub: StandInHub, files: list[Upload]) -> None:
    with pytest.raises(HubError, match=r"refused.*HF_TOKEN may not write"):
        publish("me/tiny", files, False, "made", environment(hub, "hf_other"))
    assert hub.private == {}


def test_without_a_token_nothing_is_sent(hub: StandInHub, files: list[Upload]) -> None:
    with pytest.raises(MissingTokenError, match=r"set HF_TOKEN.*me/tiny"):
        publish("me/tiny", files, False, "made", environment(hub, " "))
    assert hub.asked == []


def test_an_upload_that_breaks_off_commits_nothing(hub: StandInHub, files: list[Upload]) -> None:
    hub.full = True
    with pytest.raises(HubError):
        publish("me/tiny", files, False, "made", environment(hub))
    assert hub.commits == {}


def test_a_hub_that_is_away(files: list[Upload], hub: StandInHub) -> None:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": TOKEN}
    with pytest.raises(HubError, match=r"127\.0\.0\.1:9"):
        publish("me/tiny", files, False, "made", nowhere)


@pytest.mark.parametrize("name", ["me/tiny", "My-Org/a.b_c-1", "a/b", "o/" + "x" * 90])
def test_names_the_hub_takes(name: str) -> None:
    from huggingface_hub.utils import validate_repo_id

    check_repository(name)
    validate_repo_id(name)


@pytest.mark.parametrize(
    "name", ["tiny", "a/b/c", "me/", "/x", "me/a--b", "me/a..b", "me/-a", "me/a.", "me/a b", "me/é"]
)
def test_names_it_does_not(name: str) -> None:
    with pytest.raises(RepositoryNameError, match="OWNER/NAME"):
        check_repository(name)


def test_two_files_of_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text("")
    with pytest.raises(ValueError, match="two files of one name"):
        uploads(tmp_path / "a", tmp_path / "b")
