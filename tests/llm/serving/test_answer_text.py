"""The text of an answer while its tokens come, against the text of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.serving.answer_text import AnswerText, TokenTexts
from llm.tokens.chat import ChatEncoder
from tests.llm.tokens.small_tokenizer import SIZE, small_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("tokenizer"))


@given(st.data())
def test_any_tokens(folder: Path, data: st.DataObject) -> None:
    tokens = data.draw(st.lists(st.integers(0, SIZE - 1), max_size=30))
    texts, encoder = TokenTexts(folder), ChatEncoder(folder)
    whole = encoder.decode(tokens)
    assert texts.text(tokens) == whole
    stops = data.draw(st.lists(st.sampled_from(["\n", "def", " e", "the", "rn f"]), max_size=2))
    if whole and data.draw(st.booleans()):
        begin = data.draw(st.integers(0, len(whole) - 1))
        stops.append(whole[begin : begin + data.draw(st.integers(1, 9))])
    answer = AnswerText(texts, stops)
    said = ""
    for token in tokens:
        new = answer.add(token)
        said += new
        assert new.encode().decode() == new
        # Nothing told is ever taken back, and no more waits than a stop text or a character.
        assert whole.startswith(said)
    said += answer.finish()
    ends = [at for at in (whole.find(stop) for stop in stops) if at >= 0]
    assert said == whole[: min(ends, default=len(whole))]
    assert answer.stopped == bool(ends)


def test_what_may_become_a_stop_text_waits(folder: Path) -> None:
    texts, encoder = TokenTexts(folder), ChatEncoder(folder)
    answer = AnswerText(texts, ["END."])
    said = [answer.add(token) for token in encoder.text("the END of END.and")]
    assert "".join(said) == "the END of "
    assert answer.stopped
    assert answer.finish() == ""


def test_a_character_is_told_whole(folder: Path) -> None:
    texts, encoder = TokenTexts(folder), ChatEncoder(folder)
    answer = AnswerText(texts)
    tokens = encoder.text("\U0001f600")
    assert len(tokens) == 4
    assert [answer.add(token) for token in tokens] == ["", "", "", "\U0001f600"]
    answer = AnswerText(texts)
    assert [answer.add(token) for token in tokens[:2]] == ["", ""]
    assert answer.finish() == "\ufffd"
