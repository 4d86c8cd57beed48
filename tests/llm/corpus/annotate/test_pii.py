"""PII counts on texts with known answers."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import pytest

from llm.corpus.annotate.pii import pii_counts

DATA = Path(__file__).parents[4].parent / "shared" / "data"


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        ("write to jane.doe+news@mail.example.co.uk, or a@b.org.", 2),
        ("<o'neil@example.com>", 1),
        ("x@y, @example.com, a@@example.com, me at example.com", 0),
        ("pkg@1.2.3 and @decorator.call", 0),
        ("dot.@example.com", 0),
    ],
)
def test_emails(text: str, emails: int) -> None:
    assert pii_counts(text).email_count == emails


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("10.0.0.1, 255.255.255.255. 8.8.8.8:53", 3),
        ("256.1.1.1 1.2.3 1.2.3.4.5 1.2.3.1234", 0),
        ("01.2.3.4", 0),
    ],
)
def test_addresses(text: str, addresses: int) -> None:
    assert pii_counts(text).ipv4_count == addresses


def test_long_runs_cost_linear_time() -> None:
    started = time.process_time()
    pii_counts("a" * 200_000 + "@" + "a." * 100_000 + "@" * 50_000 + "1." * 200_000)
    assert time.process_time() - started < 3


def test_annotated_sentences() -> None:
    path = DATA / "pii_toxic" / "presidio_synth_v2.json.gz"
    if not path.is_file():
        pytest.skip("shared/data/pii_toxic is not beside the checkout")
    records = json.loads(gzip.decompress(path.read_bytes()))
    for kind, field in (("EMAIL_ADDRESS", "email_count"), ("IP_ADDRESS", "ipv4_count")):
        wanted = found = 0
        for record in records:
            values = [s["entity_value"] for s in record["spans"] if s["entity_type"] == kind]
            values = [value for value in values if ":" not in value]  # IPv6
            wanted += len(values)
            found += getattr(pii_counts(record["full_text"]), field)
        assert found == pytest.approx(wanted, rel=0.05), kind
