"""Requests of many threads to one model: each gets what it would get alone."""

from __future__ import annotations

import queue
import random
import threading
from pathlib import Path

import pytest
import torch

from llm.model.batching import PromptLengthError
from llm.model.sampling import GREEDY, Sampling, SamplingError
from llm.serving.request import Piece, Request
from llm.serving.served_model import (
    Load,
    ModelClosedError,
    Precision,
    QueueFullError,
    ServedModel,
)
from llm.tokens.special_tokens import TURN_END
from tests.llm.evaluation.tiny_models import model_folder, tiny_model

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model") / "sft", tiny_model(256), TURN_END)


def ask(model: ServedModel, request: Request) -> list[Piece]:
    """All pieces of an answer."""
    pieces: queue.Queue[Piece] = queue.Queue()
    model.submit(request, pieces.put)
    found = [pieces.get(timeout=60)]
    while found[-1].ended is None:
        found.append(pieces.get(timeout=60))
    return found


def requests(model: ServedModel, count: int) -> list[Request]:
    draw = random.Random(1)
    words = [
        "the",
        "argument",
        "parser",
        "returns",
        "a",
        "list",
        "of",
        "values",
        "and",
        "then",
        "some",
        "text",
    ]
    return [
        Request(
            tuple(model.encoder.text(" ".join(draw.choices(words, k=draw.randint(1, 40))))),
            draw.randint(0, 30),
            GREEDY if number % 2 else Sampling(0.9, 0, 0.95, seed=number),
            stop_texts=("e",) if number % 5 == 0 else (),
            top_logprobs=number % 3 or None,
        )
        for number in range(count)
    ]


def test_many_at_once_get_what_each_gets_alone(folder: Path) -> None:
    model = ServedModel("tiny", folder, places=5, waiting=100)
    alone = ServedModel("tiny", folder, places=1, waiting=0)
    asked = requests(model, 64)
    found: dict[int, list[Piece]] = {}

    def run(number: int) -> None:
        found[number] = ask(model, asked[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for number, request in enumerate(asked):
        expected = ask(alone, request)
        pieces = found[number]
        assert "".join(piece.text for piece in pieces) == "".join(one.text for one in expected)
        assert [piece.tokens for piece in pieces] == [one.tokens for one in expected]
        assert pieces[-1].ended == expected[-1].ended
        tokens = [token for piece in pieces for token in piece.tokens]
        assert len(tokens) <= request.max_new_tokens
        scored = [one for piece in pieces for one in piece.scored]
        assert [one.token for one in scored] == (tokens if request.top_logprobs else [])
        assert all(len(one.runners_up) == request.top_logprobs for one in scored)
        text = "".join(piece.text for piece in pieces)
        assert not any(stop in text for stop in request.stop_texts)
    assert model.load == Load(0, 0)
    model.close(5)
    alone.close(5)


def test_who_goes_frees_the_place_and_the_line_is_bounded(folder: Path) -> None:
    model = ServedModel("tiny", folder, places=1, waiting=1)
    endless = Request((1, 2, 3), 200, GREEDY, stop_tokens=frozenset())
    first: queue.Queue[Piece] = queue.Queue()
    second: queue.Queue[Piece] = queue.Queue()
    began = threading.Event()
    going = threading.Event()

    def hold(piece: Piece) -> None:
        first.put(piece)
        began.set()
        going.wait(60)

    ticket = model.submit(endless, hold)
    assert began.wait(60)
    model.submit(Request((4, 5), 3, GREEDY, stop_tokens=frozenset()), second.put)
    assert model.load == Load(1, 1)
    with pytest.raises(QueueFullError, match="1 requests wait for tiny") as refused:
        model.submit(endless, second.put)
    assert refused.value.retry_after >= 1
    ticket.cancel()
    going.set()
    while (piece := first.get(timeout=60)).ended is None:
        pass
    assert piece.ended == "cancelled"
    assert [second.get(timeout=60).ended for _ in range(3)] == [None, None, "length"]
    ticket.cancel()  # once more does no harm
    assert ask(model, endless)[-1].ended == "length"
    model.close(5)
    with pytest.raises(ModelClosedError):
        model.submit(endless, second.put)


def test_closing_ends_what_takes_too_long(folder: Path) -> None:
    model = ServedModel("tiny", folder, places=1, waiting=1)
    pieces: queue.Queue[Piece] = queue.Queue()
    slow = threading.Event()

    def deliver(piece: Piece) -> None:
        pieces.put(piece)
        slow.wait(0.05)

    model.submit(Request((1, 2, 3), 250, GREEDY, stop_tokens=frozenset()), deliver)
    model.close(0.2)
    found = [pieces.get_nowait() for _ in range(pieces.qsize())]
    assert found[-1].ended == "cancelled"
    assert len(found) > 1


def test_a_thread_that_breaks_leaves_nobody_waiting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ServedModel("tiny", folder, places=2, waiting=9)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def fail() -> list[object]:
        raise MemoryError

    monkeypatch.setattr(model._batch, "step", fail)
    assert ask(model, Request((1,), 5, GREEDY))[-1].ended == "failed"
    model._thread.join(10)
    with pytest.raises(ModelClosedError):
        model.submit(Request((1,), 5, GREEDY), lambda _: None)


def test_what_cannot_be_answered_is_refused(folder: Path) -> None:
    model = ServedModel("tiny", folder, places=1, waiting=1)
    for length in (0, model.context):
        with pytest.raises(PromptLengthError, match=f"has {length} tokens"):
            model.submit(Request((1,) * length, 5, GREEDY), lambda _: None)
    biased = Sampling(1.0, 0, 1.0, 0, logit_bias=((99999, 1.0),))
    with pytest.raises(SamplingError, match="logit_bias of 99999"):
        model.submit(Request((1,), 5, biased), lambda _: None)
    model.close(1)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_narrow_models_answer(folder: Path, precision: Precision) -> None:
    model = ServedModel("tiny", folder, places=2, waiting=1, precision=precision)
    pieces = ask(model, Request((1, 2, 3), 8, GREEDY, stop_tokens=frozenset()))
    assert len(pieces) == 8
    model.close(1)
