"""The benchmark of main text: its measure on texts of known scores, and a run to its end."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.extraction import elements, f1, marked, shingle_counts, word_f1

ROOT = Path(__file__).resolve().parents[1]
PROSE = "".join(
    f"<p>Sentence {n} tells of a walk through the hills, and of rain.</p>" for n in range(9)
)


def test_the_measure_on_texts_of_known_scores() -> None:
    five, four = "one two three four five", "one two three four"
    assert shingle_counts(five, five) == (1, 0, 0)
    assert shingle_counts(four, five) == (0.5, 0, 0.5)  # one of its two shingles
    assert shingle_counts("", five) == (0, 0, 1)
    assert shingle_counts("a b", "a b") == (1, 0, 0)
    # A long page has no more weight than a short one.
    scores = f1([shingle_counts(five * 50, five * 50), shingle_counts("x", five)])
    assert (scores["precision"], scores["recall"]) == pytest.approx((0.75, 0.6))
    assert word_f1("a b", "b c") == 0.5


def test_structure_is_counted_only_where_it_is_marked() -> None:
    markup = (
        "<main><h2>A <code>b</code></h2><ul><li>one <b>item</b><ul><li>two</li></ul></li></ul>"
        "<pre>x\\n\\n  y</pre><table><tr><td>1<td>2</table><nav><h2>no</h2></nav></main>"
    )
    text = (
        "## A `b`\n\n- one item\n  - two\n\n```python\nx\\n\\n  y\n```\n\n| 1 | 2 |\n| --- | --- |"
    )
    there, found = elements(markup, "//main"), marked(text)
    for kind in ("headings", "listings", "items"):
        assert there[kind] == found[kind], kind
    assert there["rows"] <= found["rows"]
    plain = marked("A b\n\none item\ntwo\n\nx\\n\\n  y\n\n1\t2")
    assert not any(plain.values())


def test_the_benchmark_runs_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "html").mkdir()
    page = f"<title>t</title><nav><a href=x>menu</a></nav><article>{PROSE}</article>"
    (tmp_path / "html" / "one.html.gz").write_bytes(gzip.compress(page.encode()))
    body = " ".join(
        f"Sentence {n} tells of a walk through the hills, and of rain." for n in range(9)
    )
    truth = {"one": {"articleBody": body, "url": "https://example.org/a"}}
    (tmp_path / "ground-truth.json").write_text(json.dumps(truth))
    command = [sys.executable, "-m", "benchmarks.extraction", "--data", str(tmp_path)]
    done = subprocess.run(
        [*command, "--tries", "1", "--structure", str(tmp_path / "none")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert {row["name"] for row in record["rows"]} >= {"ingot auto", "trafilatura"}
    assert record["rows"][0]["f1"] == 1
    bars = {bar["name"]: bar for bar in record["bars"]}
    assert set(bars) == {"f1", "f1_minus_best_engine", "speed_vs_trafilatura"}
    assert bars["f1"]["holds"]
