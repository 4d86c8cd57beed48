"""Evaluated models compared: verdicts that are known, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from llm.evaluation.differences.pairing import DifferentItemsError
from llm.evaluation.measure import Measure
from tasks.comparison import comparing
from tasks.comparison.comparing import ComparisonError, compare
from tasks.comparison.contenders import Contender, contender
from tasks.comparison.promotion import NotBetterError, judge, require_measured
from tasks.engine.errors import MissingInputError
from tasks.panels.markdown import markdown
from tasks.panels.panels import Table
from tests.tasks.stand_in_evaluations import bits, evaluated, length, right, without_items


def sides(home: Path, before: list[Measure], after: list[Measure]) -> list[Contender]:
    found = []
    for name, measures in (("old", before), ("new", after)):
        done = evaluated(home, name, {"base": [right(0.1)], "sft": measures})
        found.append(contender(name, done["evaluate"]))
    return found


def test_the_last_model_of_each_by_every_measure(tmp_path: Path) -> None:
    before, after = sides(
        tmp_path, [bits(0), right(0.5), length(10)], [bits(-0.1, 1), right(0.52), length(14)]
    )
    assert (before.label, after.label) == ("old:sft", "new:sft")
    found = compare([before, after])
    rows = {row.difference.metric: row.difference for row in found.rows}
    assert {name: row.verdict for name, row in rows.items()} == {
        "bits_per_byte": "better",
        "arc_easy": "no difference",
        "generated_tokens": "higher",
    }
    assert rows["bits_per_byte"].change.value == pytest.approx(-0.1, abs=0.02)
    assert (rows["arc_easy"].won, rows["arc_easy"].lost) == (4, 0)
    assert rows["arc_easy"].p == 0.125
    words = comparing.in_words(found)
    assert words == "new:sft against old:sft: better by bits_per_byte, higher by generated_tokens"
    [differences, models] = comparing.panels(found)
    assert isinstance(differences, Table)
    shown = {row[0]: row for row in differences.rows}
    assert differences.columns[4:6] == ["first model", "second model"]
    assert shown["arc_easy"][1:4] == ["no difference", "+0.02 [-0.00409, +0.04]", "0.12"]
    assert shown["arc_easy"][4:6] == ["0.5", "0.52"]
    assert shown["arc_easy"][-1] == "0.04"
    assert "old:sft" in markdown(models)
    record = json.loads(json.dumps(comparing.as_record(found), allow_nan=False))
    assert record["rows"][0]["verdict"] == "better"


def test_a_model_of_others_does_not_stand_for_a_recipe(tmp_path: Path) -> None:
    models = {"base": [bits(0)], "sft": [bits(0.1)], "theirs": [bits(0.2)]}
    done = evaluated(tmp_path, "mine", models)
    assert contender("mine", done["evaluate"]).model == "sft"
    assert contender("mine", done["evaluate"], "theirs").label == "mine:theirs"


def test_several_are_corrected_together_and_one_alone_is_not(tmp_path: Path) -> None:
    before, after = sides(tmp_path, [bits(0), right(0.5)], [bits(-0.1, 1), right(0.53)])
    [_, together] = compare([before, after]).rows
    [alone] = compare([before, after], ["arc_easy"]).rows
    assert alone.difference.corrected_p == alone.difference.p == 0.03125
    assert alone.difference.verdict == "better"
    assert together.difference.corrected_p == pytest.approx(0.03125)  # the larger of two
    three = [before, after, contender("third", before.evaluation, "base")]
    third = [row for row in compare(three, ["arc_easy"]).rows if row.model == "new:sft"]
    assert third[0].difference.corrected_p == 0.03125
    assert [row.difference.verdict for row in compare(three, ["arc_easy"]).rows] == [
        "better",
        "worse",
    ]


def test_models_with_different_items(tmp_path: Path) -> None:
    before, after = sides(tmp_path, [bits(0), right(0.5)], [bits(-0.1, n=100), right(0.6)])
    found = compare([before, after])
    assert [row.difference.metric for row in found.rows] == ["arc_easy"]
    [refused] = found.refused
    assert (refused.metric, refused.model) == ("bits_per_byte", "new:sft")
    assert "100 both, 20 only the first (such as '00000000000000000000000000000064')" in refused.why
    assert [panel.title for panel in comparing.panels(found)] == [
        "Differences",
        "Not compared",
        "Models",
    ]
    with pytest.raises(DifferentItemsError, match="different items: 100 both") as caught:
        compare([before, after], ["bits_per_byte"])
    assert caught.value.__notes__ == ["Compared: old:sft (first) and new:sft (second)."]
    shared = compare([before, after], ["bits_per_byte"], shared_items=True)
    assert (shared.rows[0].difference.change.n, shared.rows[0].difference.left_out) == (100, 20)
    assert "20 items that only one was measured on" in comparing.note(shared)
    only = [contender("old", before.evaluation), contender("new", after.evaluation)]
    with pytest.raises(ComparisonError, match="loss: old:sft was not measured by it, only by bits"):
        compare(only, ["loss"])


def test_what_is_no_comparison(tmp_path: Path) -> None:
    before, after = sides(tmp_path, [bits(0)], [right(0.5)])
    with pytest.raises(ComparisonError, match="name two models or more"):
        compare([before])
    with pytest.raises(ComparisonError, match="a model stands twice among old:sft, old:sft"):
        compare([before, before])
    with pytest.raises(ComparisonError, match=r"nothing can be compared: bits.*not measured by it"):
        compare([before, after])
    again = contender("again", before.evaluation)
    found = compare([before, again])
    assert found.rows[0].difference.change.value == 0
    assert comparing.in_words(found).endswith("the same model of the same evaluation")
    with pytest.raises(MissingInputError, match=r"no model 'dpo'; it has base, sft"):
        contender("old", before.evaluation, "dpo")
    with pytest.raises(MissingInputError, match=r"kept no items .* `ingot run --only evaluate`"):
        contender("early", without_items(tmp_path, "early"))


def test_a_model_is_found_in_the_evaluation_that_measured_it(tmp_path: Path) -> None:
    models = {"base": [bits(0)], "sft": [bits(-0.1)]}
    done = evaluated(tmp_path, "old", models, sft=1)
    other = evaluated(tmp_path, "new", models, pretrain=2, sft=2)
    found = contender("sft/abc", done["sft"])
    assert (found.model, found.evaluation.folder) == ("sft", done["evaluate"].folder)
    assert contender("x", other["pretrain"]).evaluation.folder == other["evaluate"].folder
    assert contender("x", other["pretrain"]).model == "base"
    apart = evaluated(tmp_path / "apart", "new", models, sft=7)["sft"]
    for build in (tmp_path / "apart" / "artifacts" / "evaluate").iterdir():
        (build / "current.json").unlink()
    with pytest.raises(MissingInputError, match=r"no evaluation in .* has measured this model"):
        contender("sft/abc", apart)


def test_a_challenger_has_to_win_and_not_to_lose(tmp_path: Path) -> None:
    before, after = sides(
        tmp_path, [bits(0), right(0.5), length(10)], [bits(-0.1, 1), right(0.4), length(10)]
    )
    judged = judge(before, after, ["bits_per_byte"], [])
    assert judged.objections == ()
    assert [row.difference.metric for row in judged.comparison.rows] == ["bits_per_byte"]
    lost = judge(before, after, ["bits_per_byte"], ["arc_easy"])
    assert len(lost.objections) == 1
    assert lost.objections[0].startswith("worse by arc_easy: 0.5 -> 0.4, a change of -0.1, between")
    both = judge(before, after, ["bits_per_byte", "arc_easy"], [])
    assert both.objections[0].startswith("not better by arc_easy")
    assert judge(after, before, [], ["arc_easy"]).objections == ()
    with pytest.raises(ComparisonError, match="generated_tokens: neither way is better"):
        judge(before, after, ["bits_per_byte"], ["generated_tokens"])
    with pytest.raises(NotBetterError, match="is what was evaluated last already"):
        judge(before, contender("new", before.evaluation), ["bits_per_byte"], [])


def test_an_interval_that_holds_zero_is_no_gain(tmp_path: Path) -> None:
    before, after = sides(tmp_path, [bits(0, noise=0.3)], [bits(-0.02, 1, noise=0.3)])
    [objection] = judge(before, after, ["bits_per_byte"], []).objections
    assert re.search(r"no difference, of which 0\.\d+ could show$", objection)
    assert "on 120 items" in objection


@pytest.mark.parametrize(
    ("change", "margin", "stands"),
    [
        (0.0, 0.0, False),  # no better
        (0.0, 0.005, False),  # its interval of a hundredth a byte, of two, reaches further
        (0.0, 0.02, True),
        (0.05, 0.02, False),  # worse by more
        (-0.1, 0.02, True),
    ],
)
def test_within_a_margin_it_is_enough_to_do_no_harm(
    tmp_path: Path, change: float, margin: float, stands: bool
) -> None:
    before, after = sides(tmp_path, [bits(0)], [bits(change, 1)])
    judged = judge(before, after, ["bits_per_byte"], [], margin=margin)
    assert (judged.objections == ()) is stands, judged
    if margin and not stands:
        assert judged.objections[0].startswith(f"maybe worse by more than {margin:.2%} by bits")


def test_a_margin_of_what_is_better_higher(tmp_path: Path) -> None:
    before, after = sides(tmp_path, [right(0.5)], [right(0.49)])
    assert judge(before, after, ["arc_easy"], [], margin=0.1).objections == ()
    [objection] = judge(before, after, ["arc_easy"], [], margin=0.01).objections
    assert objection.startswith("maybe worse by more than 1.00% by arc_easy: 0.5 -> 0.49")


def test_an_evaluation_of_earlier_models_decides_nothing(tmp_path: Path) -> None:
    models = {"base": [bits(0)], "sft": [bits(-0.1)]}
    done = evaluated(tmp_path, "old", models)
    require_measured(done["evaluate"], done)
    newer = evaluated(tmp_path, "new", models, sft=5)
    with pytest.raises(NotBetterError, match="sft: sft was built again since evaluate measured it"):
        require_measured(done["evaluate"], {**done, "sft": newer["sft"]})
