"""Stand-in: one thread, a token of each running request in turn."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from llm.errors import ExpectedError
from llm.model import folder as model_folder
from llm.model import generation
from llm.model.transformer import Cache
from llm.serving.request import Piece, Request, ScoredToken
from llm.tokens.chat import ChatEncoder


class QueueFullError(ExpectedError):
    def __init__(self, retry_after: float) -> None:
        super().__init__(f"the queue is full; try again in {retry_after:.0f} s")
        self.retry_after = retry_after


class PromptTooLongError(ExpectedError, ValueError):
    pass


@dataclass(frozen=True)
class Load:
    running: int
    waiting: int


@dataclass(eq=False)
class Ticket:
    request: Request
    deliver: Callable[[Piece], None]
    cancelled: bool = False
    ids: list[int] = field(default_factory=list)
    told: str = ""
    cache: object = None

    def cancel(self) -> None:
        self.cancelled = True


class ServedModel:
    def __init__(self, name: str, folder: Path, places: int, waiting: int) -> None:
        self.name, self.created = name, int(time.time())
        self._model = model_folder.load(folder)
        self.encoder = ChatEncoder(folder)
        self.context = self._model.architecture.context
        self._places, self._limit = places, waiting
        self._lock = threading.Condition()
        self._waiting: deque[Ticket] = deque()
        self._running: list[Ticket] = []
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, request: Request, deliver: Callable[[Piece], None]) -> Ticket:
        if not 0 < len(request.prompt) < self.context:
            raise PromptTooLongError(f"{len(request.prompt)} tokens; context {self.context}")
        ticket = Ticket(request, deliver)
        with self._lock:
            if len(self._waiting) >= self._limit:
                raise QueueFullError(1.0)
            self._waiting.append(ticket)
            self._lock.notify()
        return ticket

    @property
    def load(self) -> Load:
        with self._lock:
            return Load(len(self._running), len(self._waiting))

    def close(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and (self._running or self._waiting):
            time.sleep(0.02)
        with self._lock:
            for ticket in [*self._running, *self._waiting]:
                ticket.cancel()
            self._closed = True
            self._lock.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                while not (self._waiting or self._running or self._closed):
                    self._lock.wait()
                if self._closed and not (self._waiting or self._running):
                    return
                while self._waiting and len(self._running) < self._places:
                    self._running.append(self._waiting.popleft())
            for ticket in list(self._running):
                piece = self._step(ticket)
                ticket.deliver(piece)
                if piece.ended:
                    with self._lock:
                        self._running.remove(ticket)

    @torch.inference_mode()
    def _step(self, ticket: Ticket) -> Piece:
        request = ticket.request
        if ticket.cancelled:
            return Piece("", (), (), "cancelled")
        like = self._model.lm_head.weight
        if ticket.cache is None:
            room = min(request.max_new_tokens, self.context - len(request.prompt))
            ticket.cache = Cache(self._model.architecture, 1, len(request.prompt) + room, like)
            ticket.room = room  # type: ignore[attr-defined]
            s = request.sampling
            ticket.draw = generation.Sampling(s.temperature, s.top_k, s.top_p, s.seed)  # type: ignore[attr-defined]
            ticket.generator = torch.Generator().manual_seed(s.seed)  # type: ignore[attr-defined]
            tokens = list(request.prompt)
        else:
            tokens = ticket.ids[-1:]
        logits = self._model(torch.tensor([tokens]), cache=ticket.cache)[:, -1]
        token = int(generation.choose(logits, ticket.draw, ticket.generator))  # type: ignore[attr-defined]
        if token in request.stop_tokens:
            return Piece(self.encoder.decode(ticket.ids)[len(ticket.told) :], (), (), "stop")
        ticket.ids.append(token)
        scored: tuple[ScoredToken, ...] = ()
        if request.top_logprobs is not None:
            logs = logits[0].float().log_softmax(-1)

            def one(t: int, below: tuple[ScoredToken, ...] = ()) -> ScoredToken:
                text = self.encoder.decode([t])
                return ScoredToken(t, text, text.encode(), float(logs[t]), below)

            best = logs.topk(request.top_logprobs).indices.tolist() if request.top_logprobs else []
            scored = (one(token, tuple(one(t) for t in best)),)
        text = self.encoder.decode(ticket.ids)
        for stop in request.stop_texts:
            if stop in text:
                text = text[: text.index(stop)]
                return Piece(text[len(ticket.told) :], (token,), scored, "stop")
        if len(ticket.ids) >= ticket.room:  # type: ignore[attr-defined]
            return Piece(text[len(ticket.told) :], (token,), scored, "length")
        keep = max((len(s) for s in request.stop_texts), default=0)
        sure = text.rstrip("\ufffd")
        sure = sure[: len(sure) - keep] if keep else sure
        new = sure[len(ticket.told) :]
        ticket.told += new
        return Piece(new, (token,), scored, None)
