"""Personal data on texts with known answers, and on annotated sentences."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from llm.corpus.annotate.pii.find import KINDS, masked, pii_counts, pii_matches

DATA = Path(__file__).parents[4].parent / "shared" / "data"
KEY = "Ab1" * 40


def found(text: str) -> list[tuple[str, str]]:
    return [(match.kind, match.content) for match in pii_matches(text, KINDS)]


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        (
            "write to jane.doe+news@mail.example.co.uk, or a@b.org.",
            ["jane.doe+news@mail.example.co.uk", "a@b.org"],
        ),
        ("<o'neil@example.com>", ["o'neil@example.com"]),
        ("jörg@müller.de, δοκιμή@παράδειγμα.ελ", ["jörg@müller.de", "δοκιμή@παράδειγμα.ελ"]),
        (
            "用户@例子.广告 und a@xn--bcher-kva.example",
            ["用户@例子.广告", "a@xn--bcher-kva.example"],
        ),
        ("请发邮件到abc@example.com联系我们", ["abc@example.com"]),
        ("a@b.org: my address", ["a@b.org"]),
        ("x@y, @example.com, a@@example.com, me at example.com", []),
        ("pkg@1.2.3 and @decorator.call", []),
        ("dot.@example.com", []),
        ("icon@2x.png sprite@3x.webp app@1.min.js", []),
        ("git clone git@github.com:owner/name.git", []),
        ("ssh://git@example.com/x and https://user@example.com/", []),
    ],
)
def test_emails(text: str, emails: list[str]) -> None:
    assert found(text) == [("email", email) for email in emails]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("10.0.0.1, 255.255.255.255. 8.8.8.8:53", ["10.0.0.1", "255.255.255.255", "8.8.8.8"]),
        ("http://192.168.1.1/x from 10.0.0.0/8", ["192.168.1.1", "10.0.0.0"]),
        ("256.1.1.1 1.2.3 1.2.3.4.5 1.2.3.1234 01.2.3.4", []),
        ("version 1.2.3.4, v1.2.3.4, tool-1.2.3.4, Chrome/58.0.30.110, x==1.2.3.4", []),
        ("Text\n1.2.3.4 Installing the package\nMore", []),
    ],
)
def test_ipv4(text: str, addresses: list[str]) -> None:
    assert found(text) == [("ipv4", address) for address in addresses]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("2001:db8::1, [fe80::1%eth0]", ["2001:db8::1", "fe80::1"]),
        ("6e40:4041:c617:e898:c11:40d2:c669:2eb4.", ["6e40:4041:c617:e898:c11:40d2:c669:2eb4"]),
        ("12:34:56, std::vector, a1::b2, abc::def, 00:1B:44:11:3A:B7", []),
    ],
)
def test_ipv6(text: str, addresses: list[str]) -> None:
    assert found(text) == [("ipv6", address) for address in addresses]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("+44 7700 900123 or +1 (555) 010-9999", ["+44 7700 900123", "+1 (555) 010-9999"]),
        ("(555) 234-5678 and 202-555-0147 x12", ["(555) 234-5678", "202-555-0147 x12"]),
        ("Tel.: 030 901820, Fax 0176/1234567", ["030 901820", "0176/1234567"]),
        ("call me at 9472 7916", ["9472 7916"]),
        ("781 1704 office", ["781 1704"]),
        ("on 2024-01-31 10 of 1234567 items, 12.50 or 1,234,567", []),
        ("called on 31.12.2024 for 1000000.50", []),
        ("ISBN 978-3-16-148410-0", []),
    ],
)
def test_phones(text: str, numbers: list[str]) -> None:
    assert found(text) == [("phone", number) for number in numbers]


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("4111 1111 1111 1111", [("card", "4111 1111 1111 1111")]),
        ("378282246310005, 4111111111111112", [("card", "378282246310005")]),
        ("0000000000000000 1234567812345670", []),
        (
            "GB82 WEST 1234 5698 7654 32 and DE89370400440532013000",
            [("iban", "GB82 WEST 1234 5698 7654 32"), ("iban", "DE89370400440532013000")],
        ),
        ("GB83 WEST 1234 5698 7654 32, DE8937040044053201300", []),
        ("SSN 123-45-6789, ssn: 123 45 6789", [("ssn", "123-45-6789"), ("ssn", "123 45 6789")]),
        ("000-12-3456 666-12-3456 123-00-6789 123 45 6789", []),
    ],
)
def test_numbers(text: str, matches: list[tuple[str, str]]) -> None:
    assert found(text) == matches


@pytest.mark.parametrize(
    "key",
    [
        "AKIAIOSFODNN7EXAMPLE",
        f"ghp_{KEY[:36]}",
        f"sk-proj-{KEY[:48]}",
        f"hf_{KEY[:34]}",
        f"eyJ{KEY[:30]}.eyJ{KEY[:40]}.{KEY[:43]}",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_keys(key: str) -> None:
    assert found(f"the key is {key}, keep it") == [("key", key)]
    assert masked(f"({key})", pii_matches(f"({key})", KINDS)) == "(<KEY>)"


def test_what_looks_like_a_key() -> None:
    assert found("sk-learn-with-a-long-name-in-lower-case-words AKIA xoxo hf_hub_download") == []


def test_masks() -> None:
    text = "Mail a@b.org or call +44 7700 900123 from 10.0.0.1."
    assert masked(text, pii_matches(text, KINDS)) == "Mail <EMAIL> or call <PHONE> from <IPV4>."
    assert masked(text, pii_matches(text, ("email",))).endswith("+44 7700 900123 from 10.0.0.1.")
    assert pii_counts(text) == {**dict.fromkeys(KINDS, 0), "email": 1, "phone": 1, "ipv4": 1}


def test_long_runs_cost_linear_time() -> None:
    started = time.process_time()
    pii_counts("a" * 200_000 + "@" + "a." * 100_000 + "@" * 50_000 + "1." * 200_000)
    pii_counts("1 " * 100_000 + "+1-" * 50_000 + ":1" * 50_000 + "AKIA" * 20_000)
    assert time.process_time() - started < 6


def test_annotated_sentences() -> None:
    path = DATA / "pii_toxic" / "presidio_synth_v2.json.gz"
    if not path.is_file():
        pytest.skip("shared/data/pii_toxic is not beside the checkout")
    names = {"EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "IP_ADDRESS": "ip"}
    names |= {"CREDIT_CARD": "card", "IBAN_CODE": "iban", "US_SSN": "ssn"}
    hits, there, claimed = Counter[str](), Counter[str](), Counter[str]()
    for record in json.loads(gzip.decompress(path.read_bytes())):
        wanted = {
            (names[s["entity_type"]], s["entity_value"])
            for s in record["spans"]
            if s["entity_type"] in names
        }
        made = {(kind.rstrip("46v"), content) for kind, content in found(record["full_text"])}
        hits.update(kind for kind, _ in wanted & made)
        there.update(kind for kind, _ in wanted)
        claimed.update(kind for kind, _ in made)
    for kind, number in there.items():
        assert hits[kind] >= 0.95 * number, kind
        assert hits[kind] >= 0.95 * claimed[kind], kind
