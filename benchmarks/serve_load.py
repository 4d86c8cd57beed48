"""Clients of a server of OpenAI's protocol, in a process of their own.

Reads what to ask as JSON from standard input, prints what it measured as one line of JSON. Answers
are streamed; sockets are spoken to directly, since a client library would take more of the cores
than the server does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any


@dataclass
class Answered:
    """One request: seconds to its first text and to its end, and why it ended."""

    first: float
    seconds: float
    text: str
    ended: str | None


async def ask(host: str, port: int, body: dict[str, Any]) -> Answered:
    """One request on a connection of its own.

    Raises:
        RuntimeError: it was refused.
    """
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    begun = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
    writer.write(head.encode() + data)
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError((status + await reader.read()).decode(errors="replace"))
    first, text, ended = 0.0, "", None
    while line := await reader.readline():
        if not line.startswith(b"data: {"):
            continue
        choices = json.loads(line[6:])["choices"]
        if not choices:
            continue
        said = choices[0]["delta"].get("content") or ""
        if said and not first:
            first = time.perf_counter() - begun
        text += said
        ended = choices[0].get("finish_reason") or ended
    writer.close()
    seconds = time.perf_counter() - begun
    return Answered(first or seconds, seconds, text, ended)


async def load(wanted: dict[str, Any]) -> dict[str, Any]:
    """So many clients, each of which asks again as soon as it was answered."""
    bodies = list(wanted["bodies"])
    answered: list[Answered] = []

    async def client() -> None:
        while bodies:
            answered.append(await ask(wanted["host"], wanted["port"], bodies.pop()))

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(wanted["clients"])))
    return {
        "seconds": time.perf_counter() - begun,
        "first": [one.first for one in answered],
        "texts": [one.text for one in answered],
        "ended": [one.ended for one in answered],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(load(json.load(sys.stdin)))))
