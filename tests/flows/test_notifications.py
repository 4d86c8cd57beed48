"""The Prefect server tells a web server on this machine of runs, by a webhook."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.states import Completed, State

from flows.notifications import NotificationError, notify, notify_nobody, require_address


class Listener:
    """A web server that remembers what it is sent."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                heard.append(json.loads(self.rfile.read(size)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, words: str) -> str:
        """The first text that holds these words."""
        deadline = time.monotonic() + 90
        while True:
            for each in self.heard:
                if words in each["text"]:
                    return str(each["text"])
            assert time.monotonic() < deadline, self.heard
            time.sleep(0.2)


@pytest.fixture
def listener(prefect_server: None) -> Iterator[Listener]:
    found = Listener()
    yield found
    notify_nobody()
    found.stop()


@flow(name="breaks")
def breaks() -> None:
    raise ValueError('the "third" record\nis no page')


@flow(name="ends")
def ends(name: str) -> State[None]:
    return Completed(name=name, message=f"as {name}")


def test_runs_that_fail_and_end_are_told(listener: Listener) -> None:
    assert notify(listener.url, ["failed", "finished"]) == [
        "ingot: a run failed",
        "ingot: a run is done",
    ]
    time.sleep(2)  # the server's triggers load the automations
    ends("NothingNew", return_state=True)
    with pytest.raises(ValueError, match="third"):
        breaks()
    text = listener.wait_for("breaks (")
    assert text.startswith("Ingot: breaks (")
    assert 'is Failed: Flow run encountered an exception: ValueError: the "third" record' in text
    assert text.endswith("is no page")  # this server does not know its own address
    ends("Promoted", return_state=True)
    assert "is Promoted: as Promoted" in listener.wait_for("ends (")
    assert not [each for each in listener.heard if "NothingNew" in each["text"]]
    assert notify_nobody() == ["ingot: a run failed", "ingot: a run is done"]
    assert notify_nobody() == []


def test_the_address_is_kept_secret_and_others_are_turned_off(listener: Listener) -> None:
    notify(f"{listener.url}?key=S3CRET", ["failed", "stuck", "waiting"])
    assert notify(f"{listener.url}?key=S3CRET", ["stuck"]) == [
        "ingot: a run is silent",
        "ingot: no worker takes a run",
    ]
    with get_client(sync_client=True) as client:
        made = "Made by `ingot notify`."
        there = [each for each in client.read_automations() if each.description == made]
        assert sorted(each.name for each in there) == [
            "ingot: a run is silent",
            "ingot: no worker takes a run",
        ]
        assert "S3CRET" not in "".join(each.model_dump_json() for each in there)
        document = client.read_block_document_by_name(
            "ingot-notifications", "webhook", include_secrets=False
        )
        assert "S3CRET" not in document.model_dump_json()


@pytest.mark.parametrize("to", ["javascript:alert(1)", "ftp://there.example/x", "https:"])
def test_what_is_no_address_is_refused_before_a_server_starts(to: str) -> None:
    with pytest.raises(NotificationError, match="http:// or https://"):
        require_address(to)


def test_a_block_of_the_users(listener: Listener) -> None:
    block = CustomWebhookNotificationBlock(
        name="team", url=listener.url, json_data={"text": "{{subject}} | {{body}}"}
    )
    block.save("team", overwrite=True)
    notify("custom-webhook/team", ["failed"])
    time.sleep(2)
    with pytest.raises(ValueError, match="third"):
        breaks()
    assert "ingot: a run failed | Ingot: breaks (" in listener.wait_for("ingot: a run failed |")


@pytest.mark.parametrize("to", ["team", "slack-webhook/nobody", "ftp://x/y", "https://"])
def test_nobody_of_that_name(prefect_server: None, to: str) -> None:
    with pytest.raises(NotificationError):
        notify(to, ["failed"])
