"""The benchmark of the whole corpus half: its archives, and a run of Ingot alone to its end."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.corpus import Page, bars, pages, reordered, write
from benchmarks.process_tree import ProgramError, run

ROOT = Path(__file__).resolve().parents[1]
PROSE = "The first of many words in a longer sentence that tells of a walk, and of page {0}."
BODY = (
    "<html><head><title>page {0}</title><script>var a = 'one two three four five';</script></head>"
    "<body><p>\n"
    + " ".join([PROSE] * 20)
    + "\n</p><pre>a = 1; b = 2; c = 3; d = 4</pre></body></html>"
)


def page(number: int) -> Page:
    body = BODY.format(number).encode()
    return Page(
        f"https://site{number % 7}.example/{number}", "text/html", "2024-05-01T00:00:00Z", body
    )


def test_archives_are_read_back_as_they_were(tmp_path: Path) -> None:
    made = [page(number) for number in range(5)]
    assert write(iter(made), tmp_path / "warcs", 2) == 5
    files = sorted((tmp_path / "warcs").iterdir())
    assert len(files) == 3
    assert list(pages(files)) == made
    content = gzip.decompress(files[0].read_bytes())
    assert content.count(b"WARC-Identified-Payload-Type: text/html\r\n") == 2


def test_a_copy_has_the_words_and_the_tags_in_another_order() -> None:
    one = page(3)
    assert reordered(one, 0) is one
    two, three = reordered(one, 1), reordered(one, 2)
    assert Counter(two.body.split()) == Counter(one.body.split())
    assert len({one.body, two.body, three.body}) == 3
    assert len({one.url, two.url, three.url}) == 3
    assert reordered(one, 1) == two
    assert b"<pre>a = 1; b = 2; c = 3; d = 4</pre>" in two.body
    assert b"'one two three four five'" in two.body
    assert two.body.count(b"\n") == one.body.count(b"\n")


def test_the_lower_of_two_ratios_counts() -> None:
    ours = {"name": "ingot", "pages_per_second": 60.0, "pages_per_cpu_second": 40.0}
    theirs = {"name": "datatrove", "pages_per_second": 10.0, "pages_per_cpu_second": 10.0}
    (bar,) = bars([ours, theirs])
    assert (bar["name"], bar["value"], bar["holds"]) == ("speed_vs_datatrove", 4.0, False)
    grown = [
        {"name": f"ingot, {times} times", "pages_per_cpu_second": rate, "peak_mb": memory}
        for times, rate, memory in ((1, 9, 300), (4, 12, 400), (16, 11, 440))
    ]
    found = {bar["name"]: bar for bar in bars([ours, *grown])}
    assert found["growth_seconds_a_page"]["value"] == pytest.approx(12 / 11)
    assert found["growth_memory"]["value"] == pytest.approx(1.1)
    assert all(bar["holds"] for bar in found.values())


def test_what_a_tree_of_processes_takes(tmp_path: Path) -> None:
    inner = "import time; b = b'x' * 80_000_000; t = time.process_time()\n"
    inner += "while time.process_time() < t + 0.6: pass\ntime.sleep(0.5)"
    outer = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}]); print('done')"
    )
    taken = run([sys.executable, "-c", outer], {}, str(tmp_path / "log"))
    assert taken.output == "done\n"
    assert 0.5 < taken.cpu_seconds < 5
    assert taken.peak_mb > 70
    with pytest.raises(ProgramError, match="ended with 3"):
        run([sys.executable, "-c", "raise SystemExit(3)"], {}, str(tmp_path / "log"))


@pytest.mark.long
def test_ingot_alone_runs_to_its_end(tmp_path: Path) -> None:
    write((page(number) for number in range(40)), tmp_path / "warcs", 50)
    command = [sys.executable, "-m", "benchmarks.corpus", "--alone", "--workers", "1"]
    done = subprocess.run(
        [*command, "--growth-pages", "0", "--warc", *map(str, (tmp_path / "warcs").iterdir())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    (row,) = record["rows"]
    assert row["pages"] == row["stages"]["source"]["in"] == 40
    assert row["conserved"]
    assert row["tokens"] > 0
    assert record["bars"] == []
