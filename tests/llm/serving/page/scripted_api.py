"""A stand-in for the server behind the chat page: it says what a test tells it to, when told to."""

from __future__ import annotations

import json
import mimetypes
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from llm import serving

PAGE = Path(serving.__file__).parent / "page"


@dataclass(frozen=True)
class Token:
    """A token of an answer, its log-probability, and others with theirs."""

    text: str
    logprob: float = -0.1
    others: tuple[tuple[str, float], ...] = ()
    data: bytes | None = None

    def entry(self) -> dict[str, Any]:
        """As OpenAI's protocol tells it: the token itself is among the likeliest."""
        ranked = sorted([(self.text, self.logprob), *self.others], key=lambda pair: -pair[1])
        return _entry(self.text, self.logprob, self.data) | {
            "top_logprobs": [
                _entry(text, logprob, self.data if text == self.text else None)
                for text, logprob in ranked
            ]
        }


def _entry(text: str, logprob: float, data: bytes | None) -> dict[str, Any]:
    return {
        "token": text,
        "logprob": logprob,
        "bytes": list(text.encode() if data is None else data),
    }


@dataclass
class Answer:
    """What a model says.

    Attributes:
        gate: where set, the answer waits for it after the first `before_gate` tokens.
        breaks_off: the connection ends instead of the answer.
        error: sent in place of the end.
    """

    tokens: Sequence[Token]
    gate: threading.Event | None = None
    before_gate: int = 1
    finish: str = "stop"
    breaks_off: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Refusal:
    """A request that gets no answer."""

    status: int
    message: str
    headers: tuple[tuple[str, str], ...] = ()


def words(text: str) -> list[Token]:
    """A token for each word."""
    return [Token(word if place == 0 else f" {word}") for place, word in enumerate(text.split(" "))]


@dataclass
class Script:
    """What the server does, and what it was asked.

    Attributes:
        answers: of a model, one after the other; the last one again and again.
        context: of every model, in tokens; a word is one.
        attribution: what is told of every text; None where there is no index.
        passports: rows of documents.
        hung_up: set when a client goes while its answer waits at a gate.
    """

    answers: dict[str, list[Answer | Refusal]]
    token: str | None = None
    tokenizes: bool = True
    context: int | None = None
    attribution: dict[str, Any] | None = None
    passports: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_answer(self, body: dict[str, Any]) -> Answer | Refusal:
        with self.lock:
            self.asked.append(body)
            left = self.answers[body["model"]]
            return left.pop(0) if len(left) > 1 else left[0]

    def asked_of(self, model: str) -> list[dict[str, Any]]:
        """Requests to a model, in order."""
        with self.lock:
            return [body for body in self.asked if body["model"] == model]


class _Handler(BaseHTTPRequestHandler):
    script: Script

    def do_GET(self) -> None:
        self.script.paths.append(self.path)
        if self.path == "/v1/models":
            if self._allowed():
                length = (
                    {} if self.script.context is None else {"max_model_len": self.script.context}
                )
                data = [{"id": name} | length for name in self.script.answers]
                self._json(200, {"object": "list", "data": data})
            return
        if self.path.startswith("/v1/attribution"):
            self._attribution(self.path.rpartition("/")[2])
            return
        name = "index.html" if self.path == "/" else self.path.removeprefix("/page/")
        file = PAGE / name
        if "/" in name or not file.is_file():
            self._json(404, {"error": {"message": "no such page"}})
            return
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self._send(200, file.read_bytes(), kind)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._allowed():
            return
        if self.path == "/v1/tokenize":
            if self.script.tokenizes:
                texts = [message["content"] for message in body.get("messages", [])]
                count = sum(len(text.split()) for text in texts or [body["text"]])
                self._json(200, {"count": count})
            else:
                self._json(404, {"error": {"message": "no such route"}})
            return
        if self.path == "/v1/attribution":
            self._json(200, self.script.attribution or {})
            return
        answer = self.script.next_answer(body)
        if isinstance(answer, Refusal):
            self._json(answer.status, {"error": {"message": answer.message}}, answer.headers)
        else:
            self._stream(answer)

    def _attribution(self, last: str) -> None:
        if self.script.attribution is None:
            self._json(404, {"error": {"message": "there is nothing here"}})
        elif last in self.script.passports:
            self._json(200, {"data": self.script.passports[last]})
        else:
            self._json(200, {"object": "attribution"})

    def _allowed(self) -> bool:
        token = self.script.token
        if token is None or self.headers["Authorization"] == f"Bearer {token}":
            return True
        self._json(401, {"error": {"message": "a token is needed"}})
        return False

    def _stream(self, answer: Answer) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for place, token in enumerate(answer.tokens):
            if place == answer.before_gate and not self._passes(answer.gate):
                return
            choice = {"delta": {"content": token.text}, "logprobs": {"content": [token.entry()]}}
            self._event({"choices": [{"index": 0, "finish_reason": None} | choice]})
        if answer.breaks_off:
            return
        if answer.error is not None:
            self._event({"error": {"message": answer.error}})
            return
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": answer.finish}]})
        self._event({"choices": [], "usage": {"completion_tokens": len(answer.tokens)}})
        self.wfile.write(b"data: [DONE]\n\n")

    def _passes(self, gate: threading.Event | None) -> bool:
        while gate is not None and not gate.wait(0.01):
            # Readable, though nobody sends anything: the other side has closed.
            if select.select([self.connection], [], [], 0)[0] and not self.connection.recv(
                1, socket.MSG_PEEK
            ):
                self.script.hung_up.set()
                return False
        return True

    def _event(self, value: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()

    def _json(
        self, status: int, value: dict[str, Any], headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", headers)

    def _send(
        self, status: int, data: bytes, kind: str, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.send_response(status)
        for name, value in [("Content-Type", kind), ("Content-Length", str(len(data))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test says what matters."""


@contextmanager
def served(script: Script) -> Iterator[str]:
    """The address of a server that plays the script."""
    handler = type("Handler", (_Handler,), {"script": script})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
