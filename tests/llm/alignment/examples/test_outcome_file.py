"""Outcomes come back from their file as they were."""

from __future__ import annotations

from pathlib import Path

from llm.alignment.examples.outcome_file import read_outcomes, write_outcomes
from llm.alignment.examples.tables import Dropped, Example, Message, Outcome

TEXT = 'line\nbreak\r "quoted" \\ \0 \u2028 é 😀'


def test_a_round_trip(tmp_path: Path) -> None:
    turns = ((Message("user", TEXT), Message("assistant", "", supervised=False)), ())
    outcomes: list[Outcome] = [
        Example("preference", "web", "train", ("a" * 32, "b" * 32), turns, "pages.jsonl:3"),
        Dropped("thumb", TEXT, "validation", "c" * 32, True, "empty", 0.1, None, TEXT),
        Example("instruction", "", "", (), (), ""),
        Dropped("instruction", "web", "train", "d" * 32, False, "short", 3.0, 1e-17, ""),
    ]
    assert write_outcomes(iter(outcomes), tmp_path / "outcomes") == len(outcomes)
    found = list(read_outcomes(tmp_path / "outcomes"))
    assert found == outcomes
    assert isinstance(found[0], Example)
    assert found[0].turns[0][0] == turns[0][0]
    assert found[0].doc_id == outcomes[0].doc_id
    assert list(read_outcomes(tmp_path / "outcomes")) == found
