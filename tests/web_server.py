"""A web server on this machine that serves what it is given, and fails on purpose."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        cut: bytes after which the connection is closed, whatever length was said; `None` = never.
        endless: the body is sent over and over.
        length: that is said; `None` = the true one.
        ranges: parts of the body can be asked for.
        etag: of the body; "" = none is said, `None` = made of the body.
        drip: seconds between single bytes.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    endless: bool = False
    length: int | None = None
    ranges: bool = True
    etag: str | None = None
    drip: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    moment: float


class WebServer:
    """What it has: path (with query, or without) -> replies, the last of which stays.

    Attributes:
        answers: path without query -> what makes a reply of a path with query.
        asked: every request, in the order they came.
    """

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.answers: dict[str, Callable[[str], Reply]] = {}
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def serve(self, path: str, *replies: Reply | bytes | str) -> str:
        """Give a path its replies; its URL."""
        made = [
            Reply(it.encode() if isinstance(it, str) else it) if not isinstance(it, Reply) else it
            for it in replies
        ]
        with self._lock:
            self.replies[path] = made
        return self.url + path

    def paths(self, method: str = "GET") -> list[str]:
        """What was asked for, in order."""
        return [asked.path for asked in self.asked if asked.method == method]

    @contextlib.contextmanager
    def running(self) -> Iterator[WebServer]:
        """The server answers."""
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def _take(self, path: str, consume: bool) -> Reply:
        if urlsplit(path).path in self.answers:
            return self.answers[urlsplit(path).path](path)
        with self._lock:
            known = self.replies.get(path) or self.replies.get(urlsplit(path).path)
            if not known:
                return Reply(b"nothing here", status=404)
            return known.pop(0) if consume and len(known) > 1 else known[0]

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler has a self too
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):
                    self._answer()

            do_HEAD = do_GET  # noqa: N815 - the name that is looked for

            def _answer(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append(Asked(self.command, self.path, headers, time.monotonic()))
                reply = server._take(self.path, self.command == "GET")
                status, body = reply.status, reply.body
                said = dict(reply.headers)
                etag = reply.etag
                if etag is None and status == 200:
                    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
                if etag:
                    said["ETag"] = etag
                wanted = headers.get("range")
                fresh = headers.get("if-range") in (None, etag)
                if status == 200 and etag and headers.get("if-none-match") == etag:
                    status, body = 304, b""
                elif status == 200 and wanted and reply.ranges and fresh:
                    begin, _, end = wanted.removeprefix("bytes=").partition("-")
                    first, last = int(begin), min(int(end or len(body)), len(body) - 1)
                    if first >= len(body):
                        status, said["Content-Range"], body = 416, f"bytes */{len(body)}", b""
                    else:
                        said["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
                        status, body = 206, body[first : last + 1]
                self.send_response(status)
                for name, value in said.items():
                    self.send_header(name, value)
                if reply.endless:
                    self.send_header("Connection", "close")
                elif status != 304:
                    length = len(body) if reply.length is None else reply.length
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command == "HEAD" or status == 304:
                    return
                while reply.endless:
                    self.wfile.write(body)
                if reply.cut is not None or reply.length is not None:
                    self.close_connection = True
                if reply.drip:
                    for at in range(len(body)):
                        self.wfile.write(body[at : at + 1])
                        time.sleep(reply.drip)
                    return
                self.wfile.write(body if reply.cut is None else body[: reply.cut])

            def log_message(self, format: str, *args: object) -> None:
                """Nothing on the terminal."""

        return Handler
