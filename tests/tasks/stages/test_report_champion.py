"""The report holds what a recipe evaluated last against the model in use."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.stages.report import PAGE, ReportConfig
from tests.tasks.report_chain import Page
from tests.tasks.stand_in_evaluations import bits, evaluated, reported, right, without_items

CHAMPION = "mine@prod"
TITLE = "Champion and challenger"


def page(done: dict[str, Artifact]) -> Page:
    folder = done["report"].data("report").folder()
    return Page((folder / PAGE).read_text(encoding="utf-8"))


def promote(artifact: Artifact) -> None:
    channels.point(artifact.store, "mine", artifact, "prod")


def test_champion_and_challenger_stand_side_by_side(tmp_path: Path) -> None:
    first = {"base": [bits(0.4, 7)], "sft": [bits(0), right(0.5)]}
    alone = reported(tmp_path, "mine", first, CHAMPION)
    assert TITLE not in page(alone).text
    assert "champion" not in alone["report"].manifest.inputs
    promote(alone["evaluate"])

    second = {"base": [bits(0.4, 7)], "sft": [bits(-0.1, 1), right(0.52)]}
    done = reported(tmp_path, "mine", second, CHAMPION)
    shown = page(done)
    assert TITLE in shown.text
    assert "champion" in shown.anchors
    assert shown.row("bits_per_byte", "better")
    assert shown.row("arc_easy", "no difference")
    assert "this recipe:sft against mine@prod:sft: better by bits_per_byte" in shown.text
    record = done["report"].manifest.inputs["champion"]
    assert record.data_id == alone["evaluate"].manifest.outputs["items"].data_id

    # Once it is promoted there is another champion, and the page is made anew.
    promote(done["evaluate"])
    again = reported(tmp_path, "mine", second, CHAMPION)
    assert again["report"].folder != done["report"].folder
    assert "the same model of the same evaluation" in page(again).text


def test_what_is_in_the_way_of_a_comparison_is_said(tmp_path: Path) -> None:
    promote(evaluated(tmp_path, "mine", {"sft": [bits(0, n=50)]})["evaluate"])
    done = reported(tmp_path, "mine", {"sft": [bits(0, n=60)]}, CHAMPION)
    assert "50 both, 10 only the second" in page(done).text
    promote(without_items(tmp_path, "old"))
    done = reported(tmp_path, "mine", {"sft": [bits(0, n=60)]}, CHAMPION)
    assert TITLE not in page(done).text


def test_a_champion_is_named_with_recipe_and_channel() -> None:
    assert ReportConfig(champion="").champion == ""
    for wrong in ("prod", "@prod", "mine@", "a b@prod"):
        with pytest.raises(ValidationError, match="champion"):
            ReportConfig(champion=wrong)
