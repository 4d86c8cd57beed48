"""A server on this machine that speaks as much of the Hugging Face hub's protocol as an upload
takes: repositories, how a file is to be sent, large files over Git LFS, commits."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_test"
_LARGE = (".safetensors", ".gguf")


class StandInHub(ThreadingHTTPServer):
    """What was made and sent, for tests to look at.

    Attributes:
        private: by repository.
        files: by repository and name, as of the last commit.
        commits: messages by repository.
        objects: large files by their SHA-256.
        asked: method and path of every request.
        full: uploads of large files are refused.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.private: dict[str, bool] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.commits: dict[str, list[str]] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.full = False

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def running_hub() -> Iterator[StandInHub]:
    """A hub that is up."""
    hub = StandInHub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: StandInHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _reply(self, status: int, record: Any = None, **headers: str) -> None:
        content = json.dumps(record).encode() if record is not None else b""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _admitted(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._reply(401, {"error": "Invalid username or password."})
        return False

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.path}")
        if not self._admitted():
            return
        repository = self.path.removeprefix("/api/models/")
        if repository in self.server.private:
            info = {"id": repository, "private": self.server.private[repository], "tags": []}
            self._reply(200, info)
        else:
            self._reply(404, {"error": "Not found"}, X_Error_Code="RepoNotFound")

    def do_PUT(self) -> None:
        """A large file; whoever has the address may, as with storage that signs it."""
        self.server.asked.append(f"PUT {self.path}")
        content, name = self._body(), self.path.removeprefix("/lfs/")
        if self.server.full or sha256(content).hexdigest() != name:
            self._reply(400, {"error": "refused"})
            return
        self.server.objects[name] = content
        self._reply(200)

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path}")
        body = self._body()
        if not self._admitted():
            return
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            # Clients of other versions say it in other words.
            self.server.private[name] = (
                asked.get("private") is True or asked.get("visibility") == "private"
            )
            self.server.files[name] = {}
            self._reply(200, {"url": f"{self.server.address}/{name}", "id": name})
        elif self.path == "/api/validate-yaml":
            self._reply(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(_LARGE) else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for file in json.loads(body)["files"]
            ]
            self._reply(200, {"files": files})
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            self._reply(200, {"objects": [self._where_to(item) for item in objects]})
        elif "/commit/" in self.path:
            self._commit(self.path.removeprefix("/api/models/").split("/commit/")[0], body)
        else:
            self._reply(404, {"error": "no such place"})

    def _where_to(self, item: dict[str, Any]) -> dict[str, Any]:
        if item["oid"] in self.server.objects:
            return item
        href = f"{self.server.address}/lfs/{item['oid']}"
        return {**item, "actions": {"upload": {"href": href}}}

    def _commit(self, repository: str, body: bytes) -> None:
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                self.server.commits.setdefault(repository, []).append(value["summary"])
            elif entry["key"] == "file":
                assert value["encoding"] == "base64"
                content = base64.b64decode(value["content"])
                self.server.files[repository][value["path"]] = content
            else:
                assert entry["key"] == "lfsFile"
                content = self.server.objects[value["oid"]]
                self.server.files[repository][value["path"]] = content
        url = f"{self.server.address}/{repository}/commit/1"
        self._reply(200, {"success": True, "commitOid": "1", "commitUrl": url})
