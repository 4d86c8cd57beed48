"""A model that answers many at once: one thread in which all of its requests take steps."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from llm.errors import ExpectedError
from llm.foreign.model import ForeignModel, open_model
from llm.model.batching import Ask, Batch, Made, PromptLengthError
from llm.model.inference import Inference, Rows
from llm.model.weight_matrix import Weights
from llm.serving.answer_text import AnswerText, TokenTexts
from llm.serving.request import Ended, Piece, Request, ScoredToken
from llm.tokens.chat import ChatEncoder
from llm.training.threads import ThreadTuner

Precision = Literal["fp32", "bf16", "int8"]
Deliver = Callable[[Piece], None]

# Of the seconds a request takes, the share that the last one counts for.
_RECENT = 0.2
# So long a number of threads is tried: a short answer should not be over before.
TRIAL_SECONDS = 0.2
_WEIGHTS_IN_ROWS = 8


class QueueFullError(ExpectedError, RuntimeError):
    """As many requests wait as may.

    Attributes:
        retry_after: seconds until there is room, estimated.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ForeignPrecisionError(ExpectedError, ValueError):
    """A model that transformers computes was asked for in a precision of our own engine."""


class ModelClosedError(ExpectedError, RuntimeError):
    """The model takes no requests any more."""


@dataclass(frozen=True)
class Load:
    """Requests that have a place, and those in line."""

    running: int
    waiting: int


class Ticket:
    """A request that was taken."""

    def __init__(self, model: ServedModel, number: int) -> None:
        self._model, self._number = model, number

    def cancel(self) -> None:
        """Nobody waits for the answer any more; its place is free with the next step."""
        self._model._cancel(self._number)


@dataclass
class _Open:
    request: Request
    deliver: Deliver
    text: AnswerText
    began: float
    row: int | None = None


def work_of_step(rows: int) -> float:
    """How much a step of so many rows does, in a unit of its own: reading the weights takes as
    long as some rows do."""
    return float(_WEIGHTS_IN_ROWS + rows)


def load_inference(folder: Path, places: int, precision: Precision) -> Rows:
    """The model of a folder, laid out for as many rows.

    Raises:
        ModelFolderError, TokenizerMismatchError: see `open_model`.
        ForeignPrecisionError: its weights can be no others than they are.
    """
    model = open_model(folder)
    if isinstance(model, ForeignModel):
        if precision != "fp32":
            raise ForeignPrecisionError(
                f"{folder}: {model.architecture.name} is computed by transformers, in float32 "
                f"alone; ask for precision fp32 ({precision} is for Qwen3 and Llama)"
            )
        return model.lay_out(places, model.architecture.context)
    weights: Weights = "plain" if precision == "fp32" else precision
    return Inference(model, places, model.architecture.context, torch.float32, weights)


class ServedModel:
    """A model, its tokenizer, and the thread that answers.

    Args:
        name: what requests call it.
        places: requests answered at once.
        waiting: requests in line at most.
        threads: of the CPU; 0 = what turns out fastest.

    Attributes:
        encoder: of its tokenizer and chat template.
        texts: of its tokens.
        context: positions of prompt and answer at most.
        created: when its weights were written, seconds since 1970.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        places: int,
        waiting: int,
        precision: Precision = "fp32",
        threads: int = 0,
    ) -> None:
        self.name, self._places, self._waiting = name, places, waiting
        self.encoder, self.texts = ChatEncoder(folder), TokenTexts(folder)
        inference = load_inference(folder, places, precision)
        self.context = inference.architecture.context
        self.created = int((folder / "config.json").stat().st_mtime)
        self._batch = Batch(inference)
        self._device, self._threads = inference.device, threads
        self._numbers = itertools.count()
        self._open: dict[int, _Open] = {}
        self._rows: dict[int, int] = {}  # of the batch: number of the request
        self._arrived: list[int] = []
        self._gone: list[int] = []
        self._closing = False
        self._seconds = 1.0  # a request takes, lately
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._answer, name=f"model {name}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether there is a thread to answer."""
        return self._thread.is_alive()

    @property
    def load(self) -> Load:
        """How many requests there are now."""
        with self._changed:
            running = min(len(self._open), self._places)
            return Load(running, len(self._open) - running)

    def submit(self, request: Request, deliver: Deliver) -> Ticket:
        """Take a request; from any thread.

        Args:
            deliver: gets every piece, in the model's thread; the last one has `ended`.

        Raises:
            PromptLengthError: the prompt is empty or leaves no room for an answer.
            SamplingError: a bias is for a token that the vocabulary lacks.
            QueueFullError: as many requests wait as may.
            ModelClosedError: the model is being closed, or its thread broke.
        """
        if not 0 < len(request.prompt) < self.context:
            raise PromptLengthError(
                f"the prompt has {len(request.prompt)} tokens; 1 to {self.context - 1} leave room "
                f"for an answer in the context of {self.name}"
            )
        self._batch.check(request.sampling)
        with self._changed:
            if self._closing or not self._thread.is_alive():
                raise ModelClosedError(f"{self.name} takes no requests any more")
            line = len(self._open) - self._places
            if line >= self._waiting:
                seconds = max(1, round(self._seconds * (line + 1) / self._places))
                raise QueueFullError(
                    f"{line} requests wait for {self.name}, as many as may; try again in some "
                    f"{seconds} s",
                    seconds,
                )
            number = next(self._numbers)
            text = AnswerText(self.texts, request.stop_texts)
            self._open[number] = _Open(request, deliver, text, time.monotonic())
            self._arrived.append(number)
            self._changed.notify()
        return Ticket(self, number)

    def close(self, seconds: float) -> None:
        """Take no more requests; what was taken may end within so many seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)
        with self._changed:
            self._gone += self._open
            self._changed.notify()
        self._thread.join()

    def _cancel(self, number: int) -> None:
        with self._changed:
            self._gone.append(number)
            self._changed.notify()

    def _answer(self) -> None:
        """The thread: steps for as long as there is something to do."""
        # The number is a thread's own, so it is set here.
        tuner = ThreadTuner(self._device, self._threads, trial_seconds=TRIAL_SECONDS)
        try:
            while self._take_changes():
                entering, rows = self._batch.entering, self._batch.running
                began = time.monotonic()
                step = self._batch.step()
                if rows and not entering:
                    tuner.done(work_of_step(rows), time.monotonic() - began)
                for made in step:
                    self._tell(made)
        finally:
            # Where the thread breaks, nobody is left waiting.
            with self._changed:
                self._closing = True
                left, self._open = list(self._open.values()), {}
            for one in left:
                one.deliver(Piece("", ended="failed"))

    def _take_changes(self) -> bool:
        """Requests that came and went; waits where there is nothing to do. False = it is over."""
        with self._changed:
            while not (self._open or self._closing):
                self._changed.wait()
            arrived, self._arrived = self._arrived, []
            gone, self._gone = self._gone, []
            if self._closing and not self._open:
                return False
        for number in arrived:
            one = self._open[number]
            asked, stops = one.request, one.request.stop_tokens
            one.row = self._batch.add(
                Ask(
                    asked.prompt,
                    asked.max_new_tokens,
                    frozenset(self.encoder.stops) if stops is None else stops,
                    asked.sampling,
                    asked.top_logprobs,
                    asked.stream,
                )
            )
            self._rows[one.row] = number
        for number in gone:
            if number in self._open:
                self._end(number, "cancelled", "")
        return True

    def _tell(self, made: Made) -> None:
        number = self._rows.get(made.number)
        if number is None:
            return
        one = self._open[number]
        if made.token is None:
            self._end(number, made.ended or "stop", one.text.finish())
            return
        text = one.text.add(made.token)
        scored = self._scored(made)
        if one.text.stopped:
            self._end(number, "stop", text, (made.token,), scored)
        elif made.ended is not None:
            text += one.text.finish()
            ended: Ended = "stop" if one.text.stopped else made.ended
            self._end(number, ended, text, (made.token,), scored)
        else:
            one.deliver(Piece(text, (made.token,), scored))

    def _end(
        self,
        number: int,
        ended: Ended,
        text: str,
        tokens: tuple[int, ...] = (),
        scored: tuple[ScoredToken, ...] = (),
    ) -> None:
        """Deliver the last piece; the row's place is free."""
        with self._changed:
            one = self._open.pop(number)
            took = time.monotonic() - one.began
            self._seconds += _RECENT * (took - self._seconds)
        if one.row is not None:
            del self._rows[one.row]
            self._batch.cancel(one.row)
        one.deliver(Piece(text, tokens, scored, ended))

    def _scored(self, made: Made) -> tuple[ScoredToken, ...]:
        if made.scores is None or made.token is None:
            return ()
        runners_up = tuple(self._name(token, value) for token, value in made.scores.most)
        return (self._name(made.token, made.scores.logprob, runners_up),)

    def _name(
        self, token: int, logprob: float, runners_up: tuple[ScoredToken, ...] = ()
    ) -> ScoredToken:
        data = self.texts.data(token)
        return ScoredToken(token, data.decode(errors="replace"), data, logprob, runners_up)
