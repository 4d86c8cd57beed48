"""Runs without a split, of a million letters or marks, cost what their length costs."""

from __future__ import annotations

import random
import time

import pytest

from llm.tokens.bpe import LONGEST_WORD, BpeSettings, train

SETTINGS = BpeSettings(1024, 2, 32, "single")


def _seconds(text: str) -> float:
    start = time.process_time()
    train([text], SETTINGS)
    return time.process_time() - start


@pytest.mark.parametrize("alphabet", ["abcdefgh", "!?.,;:", "กขคงจฉชซ", "\u0301\u0316"])
def test_training_time_grows_with_the_length_of_a_run(alphabet: str) -> None:
    draw = random.Random(1)
    text = "".join(draw.choice(alphabet) for _ in range(400_000))
    short = _seconds(text[:100_000])
    # Quadratic: 16 times; half a minute where it was measured.
    assert _seconds(text) < max(8 * short, 4)


def test_a_tokenizer_of_pieces_reads_runs_whole() -> None:
    draw = random.Random(2)
    run = "".join(draw.choice("abcdefgh") for _ in range(40 * LONGEST_WORD))
    tokenizer = train([run], SETTINGS)
    assert tokenizer.decode(tokenizer.encode(run).ids) == run
    assert "FixedLength" not in tokenizer.to_str()
