"""A stage in the middle of one long call of a library stops at once when it is told to."""

from __future__ import annotations

import itertools
import json
import os
import signal
import string
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from llm.corpus.quality.classifier import FastTextSettings, train, write_lines
from llm.tokens import bpe
from llm.tokens.bpe import BpeSettings
from llm.tokens.text_file import TextFile, write_texts
from tasks.engine.errors import CancelledError, StalledError
from tasks.engine.progress import NullListener
from tasks.engine.stage.out import Out
from tasks.stages.tokenizer import STAGE as TOKENIZER
from tasks.stages.tokenizer import TokenizerConfig
from tests.llm.tokens.small_tokenizer import library_texts
from tests.processes import alive_after
from tests.tasks.documents_stage import built_on, write_parts
from tests.tasks.split_documents import STAGES, document

SIZE = 262_144


def words() -> str:
    """Some four million letters, no word twice: training on them takes seconds."""
    lower = [*map("".join, itertools.product(string.ascii_lowercase, repeat=4))]
    return " ".join([*lower, *(word.upper() for word in lower)])


class Cancels(NullListener):
    """Cancels soon after the training has begun, and notes when."""

    def __init__(self, home: Path) -> None:
        self.home, self.began, self.when = home, 0.0, 0.0

    def cancelled(self) -> bool:
        texts = list(self.home.glob("artifacts/tokenizer/*/scratch/texts.arrow"))
        if texts and not self.began:
            self.began = time.monotonic()
        if self.began and time.monotonic() > self.began + 0.3 and not self.when:
            self.when = time.monotonic()
        return self.when > 0


def run(home: Path, documents: Path, listener: NullListener) -> None:
    config = TokenizerConfig(vocabulary_size=SIZE, min_frequency=1)
    built_on(home, STAGES, documents, {"tokenizer": config}, listener)


def children() -> list[int]:
    return [child.pid for child in psutil.Process().children(recursive=True)]


def test_cancelled_in_the_middle_of_training(tmp_path: Path) -> None:
    documents = write_parts(tmp_path / "documents", [[document(words())]])
    listener, before = Cancels(tmp_path / "home"), children()
    with pytest.raises(CancelledError, match="train_folder"):
        run(tmp_path / "home", documents, listener)
    assert time.monotonic() - listener.when < 2
    assert set(children()) <= set(before)
    assert list((tmp_path / "home").rglob("texts.arrow")) == []


def test_ctrl_c_in_the_middle_of_training(tmp_path: Path) -> None:
    documents = write_parts(tmp_path / "documents", [[document(words())]])
    pressed: list[float] = []
    before = children()

    def press() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if list((tmp_path / "home").rglob("texts.arrow")) and set(children()) - set(before):
                time.sleep(0.3)
                pressed.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "home", documents, NullListener())
    assert time.monotonic() - pressed[0] < 2
    thread.join()
    assert set(children()) <= set(before)


class Alone:
    """`Out.alone` without the rest of an attempt."""

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self.cancelled, self._stage = cancelled, TOKENIZER

    alone = Out.alone


def test_a_call_that_hears_nothing_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(CancelledError):
        Alone(pid.exists).alone("tests.llm.process.child_work:pid_then_hang", str(pid), seconds=60)
    assert alive_after([int(pid.read_text())], 1) == []
    with pytest.raises(StalledError, match="did not end within 2 s"):
        Alone(lambda: False).alone(
            "tests.llm.process.child_work:pid_then_hang", str(pid), seconds=2
        )
    assert alive_after([int(pid.read_text())], 1) == []


def test_a_process_of_its_own_learns_the_same_tokenizer(tmp_path: Path) -> None:
    texts = library_texts()
    halves = [
        pa.table({"doc_id": list("ab"), "text": list(some)}) for some in (texts[:2], texts[2:4])
    ]
    write_texts(halves, tmp_path / "texts.arrow")
    assert list(TextFile(tmp_path / "texts.arrow")) == list(texts[:4])
    settings = BpeSettings(1024, 2, 16, "single")
    (tmp_path / "apart").mkdir()
    arguments = (tmp_path / "texts.arrow", settings, tmp_path / "apart")
    size = Alone(lambda: False).alone("llm.tokens.bpe:train_folder", *arguments, seconds=120)
    assert size == 1024
    here = bpe.train(list(texts[:4])[::-1], settings)
    written = json.loads((tmp_path / "apart" / "tokenizer.json").read_text())
    assert written == json.loads(here.to_str())


def test_a_process_of_its_own_learns_the_same_classifier(tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    write_lines([(n % 2 == 0, f"word{n % 7} word{n % 5} other{n % 2}") for n in range(200)], lines)
    settings = FastTextSettings(8, 0.5, 5, 2, 1, 1000, 1)
    train(lines, settings, tmp_path / "here")
    arguments = (lines, settings, tmp_path / "apart")
    Alone(lambda: False).alone("llm.corpus.quality.classifier:train", *arguments, seconds=120)
    here, apart = ((tmp_path / name / "model.bin").read_bytes() for name in ("here", "apart"))
    assert here == apart
