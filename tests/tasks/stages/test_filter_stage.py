"""filter through the engine: reasons, counts, shares, samples, joins."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from llm.corpus.filter.rules import UnknownColumnError
from tasks.panels.panels import Samples, Table
from tasks.stages.annotate import AnnotateConfig
from tasks.stages.filter import FilterConfig, panels
from tasks.stages.filter_presets import PRESETS
from tasks.stages.filter_rules import GroupChoice, Rule
from tests.language_model import language_model
from tests.tasks.documents_stage import data_id, rows, write_parts
from tests.tasks.stand_in_documents import built, document

WORDS = ["the", "river", "runs", "town", "and", "people", "have", "boats", "that", "be", "of"]


def text(words: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


PARTS = [
    [document(f"https://a{n}.example/", text(20 + n, n)) for n in range(7)],
    [
        document("https://long.example/", text(90, 90)),
        document("https://long2.example/", text(91, 91) + " ######"),
        document("https://none.example/", None),
    ],
]
RULES = [Rule(column="word_count", minimum=23, maximum=90, name="length"),
         Rule(column="hash_word_ratio", maximum=0.01)]  # fmt: skip


def chained(
    tmp_path: Path, config: FilterConfig, parts: list = PARTS, hold: tuple[str, ...] = ()
) -> dict:
    documents = write_parts(tmp_path / "documents", parts)
    language = AnnotateConfig(workers=1, language_model=str(language_model()))
    home = tmp_path / "home"
    return built(home, documents, hold=hold, annotate=language, filter=config)


def test_reasons_values_and_totals(tmp_path: Path) -> None:
    done = chained(tmp_path, FilterConfig(rules=RULES, workers=1))
    kept = [row["url"] for row in rows(done, "filter", "documents")]
    assert kept == [f"https://a{n}.example/" for n in range(3, 7)] + ["https://long.example/"]
    removed = {row["doc_id"]: row for row in rows(done, "filter", "removed")}
    short, both, silent = (removed[p["doc_id"]] for p in (PARTS[0][0], PARTS[1][1], PARTS[1][2]))
    assert (short["reason"], short["value"], short["threshold"]) == ("length", 20, 23)
    assert (both["reason"], both["value"], both["threshold"]) == ("length", 92, 90)
    assert both["detail"] == "word_count 92 > 90"
    assert (silent["reason"], silent["value"]) == ("not_annotated", None)
    artifact = done["filter"].artifact
    assert artifact.manifest.totals.removed == {"length": 4, "not_annotated": 1}
    # The page with hashes fails both rules; the first one is its reason.
    assert artifact.facts["failed_first.length"] == 4
    assert artifact.facts["failed_first.hash_word_ratio"] == 0
    assert artifact.facts["failed.hash_word_ratio"] == 1
    samples = rows(done, "filter", "samples")
    assert {row["doc_id"] for row in samples} == set(removed)
    by_id = {row["doc_id"]: row for row in samples}
    assert by_id[PARTS[0][0]["doc_id"]]["text"] == PARTS[0][0]["text"]
    table, shown = panels(artifact)
    assert isinstance(table, Table)
    assert table.rows[0] == ["length", "23 ≤ word_count ≤ 90", 4, 4, 0]
    assert isinstance(shown, Samples)
    assert len(shown.items) == 5


def test_a_share_counts_over_all_parts(tmp_path: Path) -> None:
    best = FilterConfig(rules=[Rule(column="word_count", keep_fraction=0.5)], workers=1)
    done = chained(tmp_path, best)
    # 9 documents have a value; the best half, rounded up, is 5.
    found = sorted(len(row["text"].split()) for row in rows(done, "filter", "documents"))
    assert found == [24, 25, 26, 90, 92]
    assert done["filter"].artifact.facts["cuts"] == {"word_count": 24.0}


def test_held_cuts_stay_unless_their_rule_changes(tmp_path: Path) -> None:
    share = Rule(column="word_count", keep_fraction=0.5)
    best = FilterConfig(rules=[share], workers=1)
    more = [*PARTS, [document(f"https://b{n}.example/", text(100 + n, n)) for n in range(9)]]
    chained(tmp_path, best)
    kept = chained(tmp_path, best, more, hold=("filter",))["filter"].artifact
    assert kept.facts["cuts"] == {"word_count": 24.0}
    assert kept.manifest.totals.kept == 5 + 9
    assert kept.manifest.timings.shards_built == 1
    wider = FilterConfig(rules=[share.model_copy(update={"keep_fraction": 1.0})], workers=1)
    changed = chained(tmp_path, wider, more, hold=("filter",))["filter"].artifact
    assert changed.facts["cuts"] == {"word_count": 20.0}
    anew = chained(tmp_path / "anew", best, more)["filter"].artifact
    assert anew.facts["cuts"] == {"word_count": 100.0}


def test_samples_are_few(tmp_path: Path) -> None:
    parts = [[document(f"https://{n}.example/", text(5, n) * 60) for n in range(30)]]
    done = chained(tmp_path, FilterConfig(rules=[RULES[1], Rule(column="word_count", maximum=9)]),
                   parts)  # fmt: skip
    samples = rows(done, "filter", "samples")
    assert len(samples) == 5
    assert all(len(row["text"]) == 500 for row in samples)


def test_only_filter_reruns_when_a_threshold_changes(tmp_path: Path) -> None:
    chained(tmp_path, FilterConfig(rules=RULES, workers=1))
    done = chained(tmp_path, FilterConfig(rules=RULES[:1], workers=1))
    assert {stage for stage, result in done.items() if not result.cached} == {"filter"}


def test_a_new_part_leaves_the_others_alone(tmp_path: Path) -> None:
    config = FilterConfig(rules=RULES, workers=1)
    before = chained(tmp_path, config)["filter"].artifact
    new = [document("https://new.example/", text(50, 50))]
    artifact = chained(tmp_path, config, [*PARTS, new])["filter"].artifact
    timings = artifact.manifest.timings
    assert (timings.shards_built, timings.shards_adopted) == (1, len(PARTS))
    parts = {part.path: part.sha256 for part in artifact.data("documents").parts}
    assert parts.items() > {p.path: p.sha256 for p in before.data("documents").parts}.items()


def test_workers_do_not_change_a_byte(tmp_path: Path) -> None:
    one = chained(tmp_path / "one", FilterConfig(rules=RULES, workers=1))
    two = chained(tmp_path / "two", FilterConfig(rules=RULES, workers=2))
    for output in ("documents", "removed", "samples"):
        assert data_id(one, "filter", output) == data_id(two, "filter", output)


def test_an_unknown_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    rules = [Rule(column="word_cuont", minimum=1)]
    with pytest.raises(UnknownColumnError, match=r"word_cuont.*word_count"):
        chained(tmp_path, FilterConfig(rules=rules, workers=1))


def test_the_standard_rules_fit_the_attributes(tmp_path: Path) -> None:
    prose = (
        "It was the best of times and it was the worst of times, wrote the author, who had seen "
        "both. People of every kind live in the city, and most of them have to be content with "
        "little. The houses that stand along the river are old, and their walls remember floods.\n"
        "Nobody here expects the water to stay away for good; they keep boats under the stairs."
    )
    parts = [[
        document("https://good.example/", prose),
        document("https://spam.example/", "buy now " * 60),
        document("https://de.example/", "Der Fluss fließt an der alten Stadt vorbei. " * 8),
    ]]  # fmt: skip
    done = chained(tmp_path, FilterConfig(workers=1), parts)
    assert [r["url"] for r in rows(done, "filter", "documents")] == ["https://good.example/"]


@pytest.mark.parametrize(
    "fields",
    [
        {"column": "word_count"},
        {"column": "word_count", "minimum": 2, "maximum": 1},
        {"column": "word_count", "minimum": 2, "keep_fraction": 0.5},
        {"column": "language", "allowed": ["en"], "maximum": 1},
        {"column": "quality_score", "keep_fraction": 0},
    ],
)
def test_a_rule_states_one_thing(fields: dict) -> None:
    with pytest.raises(ValidationError):
        Rule(**fields)


def test_reasons_are_unique() -> None:
    twice = [Rule(column="word_count", minimum=1), Rule(column="word_count", maximum=9)]
    with pytest.raises(ValidationError, match="name of its own"):
        FilterConfig(rules=twice)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_rules_a_recipe_need_not_state_are_those_it_could(preset: str) -> None:
    ready = PRESETS[preset]
    stated = [Rule.model_validate(rule.model_dump(exclude_unset=True)) for rule in ready]
    assert stated == list(ready)
    # 0 and 0.0 are equal, and two identities.
    assert [repr(rule) for rule in stated] == [repr(rule) for rule in ready]
    config = FilterConfig(groups=[{"preset": preset}])
    assert [rule.name for rule in config.all_rules()] == [f"{preset}/{r.column}" for r in ready]
    spelled = config.spelled_out()
    assert spelled.all_rules() == config.all_rules()
    again = FilterConfig.model_validate(spelled.model_dump(mode="json"))
    assert again == spelled == spelled.spelled_out()


def test_without_rules_and_groups_it_is_english_from_the_web() -> None:
    assert FilterConfig().groups == [GroupChoice(preset="web-en")]
    assert FilterConfig(rules=RULES).groups == []
    assert FilterConfig(groups=[]).all_rules() == []


def test_each_document_meets_the_rules_of_its_group(tmp_path: Path) -> None:
    code = "def f(x):\n    return x\n\n\n" * 3 + "class Some:\n    pass\n"
    german = "Der Fluss fließt an der alten Stadt vorbei, und die Leute sehen ihm nach. "
    parts = [[
        {**document("https://1.example/", code), "source": "git"},
        {**document("https://2.example/", code), "source": "web"},
        {**document("https://3.example/", german * 3), "source": "web"},
        {**document("https://4.example/", text(20, 1)), "source": "web"},
    ]]  # fmt: skip
    config = FilterConfig(
        groups=[
            {"preset": "code", "sources": ["git"]},
            {"name": "german", "languages": ["de"]},
            {"preset": "web-en", "name": "rest"},
        ],
        rules=[
            Rule(column="word_count", minimum=100, group="german"),
            Rule(column="word_count", minimum=10, group="rest"),
            Rule(column="language_score", minimum=0, name="any"),
        ],
        workers=1,
    )
    done = chained(tmp_path, config, parts)
    kept = [row["url"] for row in rows(done, "filter", "documents")]
    assert kept[0] == "https://1.example/"
    removed = {row["doc_id"]: row["reason"] for row in rows(done, "filter", "removed")}
    first, second, third, _ = (row["doc_id"] for row in parts[0])
    assert first not in removed
    assert removed[second].startswith("rest/")
    assert removed[third] == "german/word_count"
    facts = done["filter"].artifact.facts
    assert facts["groups"] == ["code", "german", "rest"]
    assert (facts["group.code"], facts["group_kept.code"]) == (1, 1)
    assert (facts["group.german"], facts["group_kept.german"]) == (1, 0)
    # What is stated takes the place of the preset's.
    minima = [r.minimum for r in config.all_rules() if r.name == "rest/word_count"]
    assert minima == [10]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"groups": [{"preset": "code"}, {"preset": "code"}]}, "two groups are called code"),
        ({"rules": [{"column": "word_count", "minimum": 1, "group": "x"}]}, "there is none"),
        ({"groups": [{"sources": ["web"]}]}, "needs a preset or a name"),
        (
            {
                "groups": [{"preset": "code"}],
                "rules": [{"column": "quality_score", "keep_fraction": 0.5, "group": "code"}],
            },
            "keep_fraction counts over all documents",
        ),
    ],
)
def test_groups_that_mean_nothing(fields: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FilterConfig(**fields)


def test_personal_data_gives_way_to_placeholders(tmp_path: Path) -> None:
    mail = f"Write to jane@example.com or call +44 7700 900123. {text(20, 1)} bob@example.org"
    parts = [[document("https://1.example/", mail), document("https://2.example/", text(30, 2))]]
    config = FilterConfig(rules=[Rule(column="word_count", minimum=9)], mask=["email"], workers=1)
    done = chained(tmp_path, config, parts)
    by_id = {row["doc_id"]: row for row in rows(done, "filter", "documents")}
    first, second = (row["doc_id"] for row in parts[0])
    assert by_id[first]["text"].startswith("Write to <EMAIL> or call +44 7700 900123. ")
    assert by_id[first]["text"].endswith(" <EMAIL>")
    assert by_id[first]["text_chars"] == len(by_id[first]["text"])
    assert by_id[second]["text"] == parts[0][1]["text"]
    spans = rows(done, "filter", "masked")
    assert [mail[span["start"] : span["end"]] for span in spans] == [
        "jane@example.com",
        "bob@example.org",
    ]
    assert {span["doc_id"] for span in spans} == {first}
    assert done["filter"].artifact.facts["masked.email"] == 2
    assert any(
        panel.title == "Placeholders" and panel.rows == [["email", 1, 2, 0]]
        for panel in panels(done["filter"].artifact)
        if isinstance(panel, Table)
    )


def test_what_a_page_asks_for_is_granted(tmp_path: Path) -> None:
    asks = ["noai", "noindex, nofollow", "tdm-reservation", "nofollow", None]
    made = [
        {**document(f"https://{n}.example/", text(30, n)), "robots": robots}
        for n, robots in enumerate(asks)
    ]
    both = FilterConfig(
        rules=[Rule(column="word_count", minimum=9)], respect=["noai", "noindex"], workers=1
    )
    done = chained(tmp_path, both, [made])
    left = {row["url"] for row in rows(done, "filter", "documents")}
    assert left == {"https://3.example/", "https://4.example/"}
    totals = done["filter"].artifact.manifest.totals
    assert totals.removed == {"respect_noai": 2, "respect_noindex": 1}
    assert FilterConfig(rules=both.rules).identity().keys() == {"rules"}
