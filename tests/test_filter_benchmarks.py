"""The benchmarks of filters, languages and personal data: their measures on known answers."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks.filter import EXPLAINED, ours
from benchmarks.language import macro
from benchmarks.personal_data import overlap
from benchmarks.quality import compared

ROOT = Path(__file__).resolve().parents[1]
PROSE = "The people of the town have boats, and they row to the sea with the tide. "


def test_rules_are_decided_each_by_itself() -> None:
    texts = [PROSE * 5 + "More of that is told below.", "buy now " * 60, "short"]
    _, kept, alone = ours(pa.array(texts))
    assert set(alone) == set(EXPLAINED)
    assert alone["word_count"] == [False, False, True]
    assert alone["top_2gram_char_fraction"][1]
    assert alone["symbol_word_ratio"] == [False] * 3
    assert kept[1:] == [False, False]


def test_languages_weigh_the_same() -> None:
    score, shares = macro(["en"] * 8 + ["nb", "nn"], ["en"] * 6 + ["de"] * 2 + ["no", "sv"])
    assert shares == {"en": 0.75, "no": 0.5}
    assert score == pytest.approx(0.625)


def test_spans_of_one_kind_overlap() -> None:
    assert overlap((0, 4, "email"), (3, 9, "email"))
    assert not overlap((0, 4, "email"), (4, 9, "email"))
    assert not overlap((0, 4, "email"), (3, 9, "phone"))


def test_the_benchmark_of_personal_data_runs_to_its_end(tmp_path: Path) -> None:
    text = "Write to jane@example.com or +44 7700 900123."
    kinds = [("EMAIL_ADDRESS", "jane@example.com"), ("PHONE_NUMBER", "+44 7700 900123")]
    kinds += [("IP_ADDRESS", "Write"), ("CREDIT_CARD", "to"), ("IBAN_CODE", "or"), ("US_SSN", ".")]
    spans = [
        {
            "entity_type": kind,
            "entity_value": value,
            "start_position": text.index(value),
            "end_position": text.index(value) + len(value),
        }
        for kind, value in kinds
    ]
    (tmp_path / "pii_toxic").mkdir()
    path = tmp_path / "pii_toxic" / "presidio_synth_v2.json.gz"
    path.write_bytes(gzip.compress(json.dumps([{"full_text": text, "spans": spans}]).encode()))
    command = [sys.executable, "-m", "benchmarks.personal_data", "--data", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    bars = {bar["name"]: bar["value"] for bar in json.loads(done.stdout.splitlines()[-1])["bars"]}
    assert bars["email recall"] == bars["phone precision"] == 1
    assert bars["ip recall"] == bars["card recall"] == 0


@pytest.mark.long
def test_classifiers_score_what_did_not_train_them(tmp_path: Path) -> None:
    """Good pages and bad ones have words of their own; length is the same, and tells nothing."""
    good = [f"{PROSE}The boat of day {n} was seen at noon." for n in range(20)]
    bad = [f"{'cheap deal! ' * 9}Offer {n}: more, more. Buy it now! Ends: {n}" for n in range(20)]
    pages = [(label, text) for pair in zip(good, bad, strict=True) for label, text in
             zip((True, False), pair, strict=True)]  # fmt: skip
    found = compared(pages[:32], [text for _, text in pages[32:]], tmp_path)
    assert set(found) == {"both", "fastText", "heuristics", "length"}
    for way in ("both", "fastText", "heuristics"):
        assert min(found[way][::2]) > max(found[way][1::2]), way
