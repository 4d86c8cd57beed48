"""A server from which models are fetched by the hub's protocol: revisions, files, their etags."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class HubOfModels:
    """What the server has.

    Attributes:
        commits: files by commit; named: commit by branch, tag or commit.
        asked: paths of all requests.
    """

    repository = "acme/tiny"

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.named: dict[str, str] = {}
        self.asked: list[str] = []
        self.address = ""

    def push(self, folder: Path, branch: str = "main") -> str:
        """The files of a folder as the newest state of a branch; its commit."""
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        digest = _oid(b"".join(files.values()))
        self.commits[digest] = files
        self.named |= {branch: digest, digest: digest}
        return digest

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        self.asked.append(path)
        api = f"/api/models/{self.repository}/revision/"
        files = f"/{self.repository}/resolve/"
        if path.startswith(api):
            commit = self.named.get(unquote(path.removeprefix(api).partition("?")[0]))
            if commit is None:
                return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
            names = [{"rfilename": name} for name in self.commits[commit]]
            told = {"id": self.repository, "sha": commit, "siblings": names, "tags": []}
            return 200, {"Content-Type": "application/json"}, json.dumps(told).encode()
        tree = f"/api/models/{self.repository}/tree/"
        if path.startswith(tree):
            commit = path.removeprefix(tree).partition("?")[0]
            listed = [
                {"type": "file", "path": name, "size": len(content), "oid": _oid(content)}
                for name, content in self.commits[commit].items()
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(listed).encode()
        if path.startswith(files):
            revision, _, name = path.removeprefix(files).partition("/")
            commit = self.named[revision]
            content = self.commits[commit].get(name)
            if content is None:
                return 404, {"X-Error-Code": "EntryNotFound"}, b""
            return 200, {"X-Repo-Commit": commit, "ETag": f'"{_oid(content)}"'}, content
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"


def _oid(content: bytes) -> str:
    """As long as git's."""
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def hub_of_models() -> Iterator[HubOfModels]:
    """A running one."""
    hub = HubOfModels()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = hub.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """The terminal is the test's."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
