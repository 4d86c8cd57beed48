"""Answers as a Prefect server's health check does: python stand_in_server.py PORT DELAY BUSY.

With BUSY it computes until it answers, else it sleeps. Given a fourth word, a port, it ends as one
that found that port taken, whoever has it by now.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true")

    def log_message(self, format: str, *arguments: object) -> None:
        return


if __name__ == "__main__":
    port, delay, busy = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "busy"
    until = time.monotonic() + delay
    while time.monotonic() < until:
        if not busy:
            time.sleep(0.05)
    if sys.argv[4:] == [str(port)]:
        sys.exit(
            f"[Errno 98] error while attempting to bind on ('127.0.0.1', {port}): "
            "address already in use\n" + "Traceback ...\n" * 20
        )
    HTTPServer(("127.0.0.1", port), Healthy).serve_forever()
