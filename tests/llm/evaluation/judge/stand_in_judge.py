"""A server on this machine that speaks OpenAI's chat completions and judges by a rule of the test;
it fails as it is told to."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-of-a-test-0123456789"
MODEL = "stand-in"


@dataclass(frozen=True)
class Asked:
    """A question as a judge reads it: by the fences that the instructions name."""

    system: str
    user: str

    @property
    def code(self) -> str:
        found = re.search(r"carry the code (\w+)", self.system)
        assert found is not None
        return found.group(1)

    @property
    def answers(self) -> list[str]:
        form = rf"<<<(ANSWER ?\d?) {self.code}\n(.*?)\n<<<END OF \1 {self.code}"
        return [text for _, text in re.findall(form, self.user, re.DOTALL)]

    @property
    def criterion(self) -> str:
        found = re.search(r"by a single measure, (\w+):", self.system)
        assert found is not None
        return found.group(1)

    def says(self, verdict: str) -> str:
        """A well-formed reply."""
        return f"My reasons.\nVERDICT {self.code} {verdict}"


Rule = Callable[[Asked], str]


@dataclass(frozen=True)
class Failure:
    """An HTTP error in place of a reply."""

    status: int
    retry_after: str = ""
    body: str = "failed on purpose"


class StandInJudge(ThreadingHTTPServer):
    """What came in, for tests to look at.

    Attributes:
        rule: makes the reply.
        failures: for the next calls, one each.
        calls: bodies of all requests, failures included.
        at_once: the most calls that were under way together.
        cut: replies end for their length.
    """

    daemon_threads = True

    def __init__(self, rule: Rule) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rule = rule
        self.failures: list[Failure] = []
        self.calls: list[dict[str, Any]] = []
        self.at_once = self.under_way = 0
        self.cut = False
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def running_judge(rule: Rule) -> Iterator[StandInJudge]:
    """A judge that is up."""
    server = StandInJudge(rule)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: StandInJudge
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # a reply in one packet; headers apart cost 40 ms

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.calls.append(body)
            failure = server.failures.pop(0) if server.failures else None
            server.under_way += 1
            server.at_once = max(server.at_once, server.under_way)
        if failure is not None:
            self._send(failure.status, failure.body, failure.retry_after)
        elif self.path != "/v1/chat/completions" or body["model"] != MODEL:
            self._send(404, f"no model {body['model']}")
        elif self.headers.get("Authorization") != f"Bearer {KEY}":
            self._send(401, f"wrong key: {self.headers.get('Authorization')}")
        else:
            system, user = (message["content"] for message in body["messages"])
            self._send(200, json.dumps(self._completion(server.rule(Asked(system, user)))))
        with server.lock:
            server.under_way -= 1

    def _completion(self, text: str) -> dict[str, Any]:
        return {
            "choices": [
                {
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "length" if self.server.cut else "stop",
                }
            ],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10},
        }

    def _send(self, status: int, text: str, retry_after: str = "") -> None:
        content = text.encode()
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
