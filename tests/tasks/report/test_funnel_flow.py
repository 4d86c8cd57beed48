"""The Sankey diagram of the funnel: nothing is lost, small reasons stand together."""

from __future__ import annotations

from collections import Counter

from tasks.panels.pictures import picture
from tasks.report.funnel import Step
from tasks.report.funnel_flow import funnel_flow

REASONS = {f"rule {n}": n for n in range(1, 9)}
STEPS = [
    Step("clean", 200, None, 180, {}, {"not_text": 20}),
    Step("filter", 180, 180, 180 - sum(REASONS.values()), REASONS, {}),
]


def test_what_goes_in_comes_out() -> None:
    flow = funnel_flow(STEPS)
    assert flow is not None
    out: Counter[str] = Counter()
    into: Counter[str] = Counter()
    for stream in flow.streams:
        out[stream.source] += int(stream.count)
        into[stream.target] += int(stream.count)
    assert out["into clean"] == 200
    assert into["clean"] == out["clean"] == 180
    assert into["clean: rejected"] == 20
    assert into["filter: 3 other reasons"] == 1 + 2 + 3
    assert into["filter: rule 8"] == 8
    assert "filter: rule 3" not in into
    drawn = picture(flow)
    assert drawn.startswith("<svg")
    assert "3 other reasons" in drawn


def test_nothing_to_show() -> None:
    assert funnel_flow([]) is None
    assert funnel_flow([Step("clean", 0, None, 0, {}, {})]) is None
