"""What a run shows: panels as Markdown that Prefect takes, whole and within limits."""

from __future__ import annotations

from flows.publish import joined
from tasks.engine.panels import Curve, Sample, Samples, Table
from tasks.engine.panels_markdown import markdown


def test_what_does_not_fit_is_left_out_whole_and_said():
    assert joined(["a" * 10, "b" * 100, "c" * 10], limit=50) == (
        "a" * 10 + "\n\n" + "c" * 10 + "\n\n*1 longer panel only in the report.*"
    )
    assert joined(["a", "b"]) == "a\n\nb"
    assert joined([]) == ""


def test_a_fence_is_never_left_open():
    text = "x" * 2000
    samples = Samples("Removed", [Sample(str(n), text, {}) for n in range(20)])
    table = Table("Rows", ["n"], [[n] for n in range(3)])
    shown = joined([markdown(table), markdown(samples)], limit=500)
    assert "```" not in shown
    assert "| 2 |" in shown
    assert "1 longer panel" in shown


def test_loss_and_samples_read_as_text():
    curve = Curve("Loss", "step", "loss", {"train": [(0, 8.0), (1, 4.0), (2, 2.0)]})
    samples = Samples("Said", [Sample("q", "an answer", {"tokens": 2})])
    shown = joined([markdown(curve), markdown(samples)])
    assert "| train | " in shown
    assert "> an answer" in shown
