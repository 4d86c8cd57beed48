"""What a run shows: panels as Markdown that Prefect takes, whole and within limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flows import publish
from flows.publish import join_panels
from tasks.best_effort import SERVER_AWAY
from tasks.engine.run.build import build
from tasks.engine.store.store import Store
from tasks.engine.store.views import FILE
from tasks.panels.markdown import markdown
from tasks.panels.panels import Curve, Sample, Samples, Table
from tests.tasks.engine.small_chain import planner, write_corpus


def test_what_does_not_fit_is_left_out_whole_and_said():
    assert join_panels(["a" * 10, "b" * 100, "c" * 10], limit=50) == (
        "a" * 10 + "\n\n" + "c" * 10 + "\n\n*1 longer panel only in the report.*"
    )
    assert join_panels(["a", "b"]) == "a\n\nb"
    assert join_panels([]) == ""


def test_a_fence_is_never_left_open():
    text = "x" * 2000
    samples = Samples("Removed", [Sample(str(n), text, {}) for n in range(20)])
    table = Table("Rows", ["n"], [[n] for n in range(3)])
    shown = join_panels([markdown(table), markdown(samples)], limit=500)
    assert "```" not in shown
    assert "| 2 |" in shown
    assert "1 longer panel" in shown


def test_loss_and_samples_read_as_text():
    curve = Curve("Loss", "step", "loss", {"train": [(0, 8.0), (1, 4.0), (2, 2.0)]})
    samples = Samples("Said", [Sample("q", "an answer", {"tokens": 2})])
    shown = join_panels([markdown(curve), markdown(samples)])
    assert "| train | " in shown
    assert "> an answer" in shown


class Server:
    """Takes what is shown, or is away."""

    def __init__(self) -> None:
        self.away, self.shown = True, list[str]()

    def show(self, what: str) -> None:
        if self.away:
            raise httpx.ConnectError("away")
        if what == "broken":
            raise ValueError(what)
        self.shown.append(what)


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    told: list[str] = []

    class Log:
        def warning(self, message: str, *values: object) -> None:
            told.append(message % values)

    monkeypatch.setattr(publish, "get_run_logger", Log)
    yield told
    SERVER_AWAY.clear()
    publish._LATER.clear()


def test_what_the_server_missed_it_is_shown_at_the_end(warned: list[str]) -> None:
    server = Server()
    show = publish.best_effort(server.show)
    show("a stage's panels")
    SERVER_AWAY.set()
    show("another's")
    SERVER_AWAY.clear()
    server.away = False
    show("a third's")
    publish.catch_up(answers=True)
    assert server.shown == ["a third's", "a stage's panels", "another's"]
    publish.catch_up(answers=True)
    assert len(server.shown) == 3
    assert warned == []


def test_what_cannot_be_shown_at_the_end_is_told_and_stops_nobody(warned: list[str]) -> None:
    server = Server()
    show = publish.best_effort(server.show)
    show("a stage's panels")
    show("broken")
    publish.catch_up(answers=False)
    assert warned == ["2 artifacts are not shown; the next run shows what it has of them"]
    show("broken")
    server.away = False
    publish.catch_up(answers=True)
    assert warned[1:] == [
        "not shown: ValueError: broken",
        "1 artifact is not shown; the next run shows what it has of them",
    ]
    with pytest.raises(ValueError, match="broken"):
        show("broken")


def test_a_run_does_not_show_what_another_could_not(
    warned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()
    publish.best_effort(server.show)("of another run")
    server.away = False
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", "00000000-0000-0000-0000-000000000001")
    publish.catch_up(answers=True)
    assert server.shown == []


def test_what_is_shown_of_a_stage_may_be_damaged(
    warned: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was built is whole: a run serves it, and says why it shows nothing of it."""
    monkeypatch.setattr(publish, "create_markdown_artifact", pytest.fail)
    corpus = write_corpus(tmp_path / "corpus")
    store = Store(str(tmp_path / "home"))
    artifact = build(planner(store, corpus))["shout"].artifact
    (tmp_path / "home" / artifact.folder / FILE).write_text("{")
    publish.panels(artifact)
    (warning,) = warned
    assert "no panels: " in warning
    assert "`ingot run --force shout`" in warning
