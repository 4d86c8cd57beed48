"""Answers as a Prefect server's health check does: python stand_in_server.py PORT DELAY BUSY.

With BUSY it computes until it answers, else it sleeps.
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
    HTTPServer(("127.0.0.1", port), Healthy).serve_forever()
