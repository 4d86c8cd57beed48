"""Personal data found in annotated sentences: recall and precision of each kind.

    python -m benchmarks.personal_data --data DIR

`--data` has `pii_toxic/presidio_synth_v2.json.gz`: sentences of presidio-research with the spans of
what they hold. A span counts as found where the same kind is said of characters that overlap it, as
exact where they are the very same. Kinds Ingot does not look for (names, addresses) are left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter
from pathlib import Path

from llm.corpus.annotate.pii.find import KINDS, pii_matches

TARGET = 0.95
THEIRS = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "IP_ADDRESS": "ip",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "US_SSN": "ssn",
}
Span = tuple[int, int, str]


def overlap(one: Span, other: Span) -> bool:
    """Whether they share a character and are of one kind."""
    return one[2] == other[2] and one[0] < other[1] and other[0] < one[1]


def main() -> None:
    """Measure, print the table, end with one line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    path = parser.parse_args().data / "pii_toxic" / "presidio_synth_v2.json.gz"
    records = json.loads(gzip.decompress(path.read_bytes()))
    there, found, exact, said, right = (Counter[str]() for _ in range(5))
    started = time.process_time()
    made = [pii_matches(record["full_text"], KINDS) for record in records]
    seconds = time.process_time() - started
    for record, matches in zip(records, made, strict=True):
        wanted = [
            (span["start_position"], span["end_position"], THEIRS[span["entity_type"]])
            for span in record["spans"]
            if span["entity_type"] in THEIRS
        ]
        claimed = [
            (match.start, match.end, "ip" if match.kind in ("ipv4", "ipv6") else match.kind)
            for match in matches
        ]
        for span in wanted:
            there[span[2]] += 1
            found[span[2]] += any(overlap(span, other) for other in claimed)
            exact[span[2]] += span in claimed
        for span in claimed:
            said[span[2]] += 1
            right[span[2]] += any(overlap(span, other) for other in wanted)
    rows, bars = [], []
    print(f"{'':8}{'there':>7}{'recall':>8}{'exact':>8}{'precision':>11}")
    for kind in THEIRS.values():
        recall, precision = found[kind] / there[kind], right[kind] / max(said[kind], 1)
        same = exact[kind] / there[kind]
        print(f"{kind:8}{there[kind]:7}{recall:8.3f}{same:8.3f}{precision:11.3f}")
        rows.append({"name": kind, "there": there[kind], "recall": recall, "exact": same,
                     "precision": precision})  # fmt: skip
        for name, value in (("recall", recall), ("precision", precision)):
            bars.append({"name": f"{kind} {name}", "value": value, "target": TARGET,
                         "holds": value >= TARGET})  # fmt: skip
    size = sum(len(record["full_text"].encode()) for record in records) / 1e6
    rows.append({"name": "speed", "mb_per_second": size / seconds})
    print(json.dumps({"benchmark": "personal_data", "input": {"sentences": len(records)},
                      "versions": {}, "rows": rows, "bars": bars}))  # fmt: skip


if __name__ == "__main__":
    main()
