"""A store that speaks S3 (moto's, on this machine) with the faults that real ones have."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

BUSY = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)


class FaultyS3:
    """Answers requests; the next ones that match a fault go wrong.

    Attributes:
        url: where it listens.
        seen: method and path with query of every request.
    """

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._store = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._faults: list[list[Any]] = []
        self._lock = threading.Lock()
        self.seen: list[str] = []
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def fail(self, method: str, part: str, how: str, times: int = 1) -> None:
        """Let requests go wrong.

        Args:
            part: of path and query.
            how: `busy`, 503; `lost`, done, and then 500; `cut`, half of the body; `late`, a second
                after it was asked.
        """
        with self._lock:
            self._faults.append([method, part, how, times])

    def close(self) -> None:
        self._server.shutdown()

    def _fault(self, environ: dict[str, Any]) -> str:
        asked = f"{environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}"
        with self._lock:
            self.seen.append(f"{environ['REQUEST_METHOD']} {asked}")
            for fault in self._faults:
                method, part, how, left = fault
                if left and method == environ["REQUEST_METHOD"] and part in asked:
                    fault[3] -= 1
                    return str(how)
        return ""

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        how = self._fault(environ)
        if how == "busy":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Type", "application/xml")])
            return [BUSY]
        if how == "late":
            time.sleep(1)
        held: list[Any] = []
        whole = b"".join(self._store(environ, lambda *said: held.extend(said[:2])))
        if how == "lost":
            start("500 Internal Server Error", [])
            return [b""]
        start(*held)
        return [whole[: len(whole) // 2]] if how == "cut" else [whole]
