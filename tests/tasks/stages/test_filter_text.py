"""Rules and groups in one line: what they state, what reads back, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.stages.filter import FilterConfig
from tasks.stages.filter_presets import PRESETS
from tasks.stages.filter_rules import GroupChoice, Rule


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("language in en, de", {"column": "language", "allowed": ["en", "de"]}),
        ("word_count >= 50", {"column": "word_count", "minimum": 50.0}),
        ("hash_word_ratio <= 1e-1", {"column": "hash_word_ratio", "maximum": 0.1}),
        ("3<=mean_word_length<=10", {"column": "mean_word_length", "minimum": 3, "maximum": 10}),
        ("quality_score best 0.9", {"column": "quality_score", "keep_fraction": 0.9}),
        (
            " docs: word_count >= 5 as short ",
            {"column": "word_count", "minimum": 5, "group": "docs", "name": "short"},
        ),
        ("language in en as tongue", {"column": "language", "allowed": ["en"], "name": "tongue"}),
    ],
)
def test_a_line_is_the_rule_it_states(line, fields):
    rule = Rule.model_validate(line)
    assert rule == Rule(**fields)
    assert Rule.model_validate(rule.line()) == rule


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("docs", {"preset": "docs"}),
        ("docs as manuals", {"preset": "docs", "name": "manuals"}),
        (
            "web-en where sources crawl, news; languages en",
            {"preset": "web-en", "sources": ["crawl", "news"], "languages": ["en"]},
        ),
        ("none as talk where page_types forum", {"name": "talk", "page_types": ["forum"]}),
    ],
)
def test_a_line_is_the_group_it_states(line, fields):
    group = GroupChoice.model_validate(line)
    assert group == GroupChoice(**fields)
    assert group.line() == line


def test_a_preset_with_a_changed_threshold_is_two_lines():
    short = FilterConfig.model_validate({"groups": ["docs"], "rules": ["docs: word_count >= 5"]})
    rules = {rule.label: rule for rule in short.spelled_out().rules}
    assert rules["word_count"].minimum == 5
    assert rules.keys() == {rule.column for rule in PRESETS["docs"]}
    long = {"groups": [{"preset": "docs"}], "rules": [short.rules[0].model_dump()]}
    assert FilterConfig.model_validate(long).identity() == short.identity()


def test_every_rule_of_every_preset_is_a_plain_line():
    for rules in PRESETS.values():
        for ready in rules:
            rule = Rule.model_validate(ready.model_dump(exclude_unset=True))
            assert not rule.line().startswith("{")
            assert Rule.model_validate(rule.line()) == rule


texts = st.text(max_size=12)
names = st.text("abz-_09", min_size=1, max_size=6)


@given(
    st.fixed_dictionaries(
        {"column": st.text(min_size=1, max_size=8)},
        optional={"name": texts, "group": texts},
    ),
    st.one_of(
        st.builds(lambda values: {"allowed": values}, st.lists(texts, min_size=1, max_size=3)),
        st.builds(lambda value: {"minimum": value}, st.floats(-1e9, 1e9)),
        st.builds(
            lambda low, more: {"minimum": low, "maximum": low + more},
            st.floats(-1e9, 1e9),
            st.floats(0, 1e9),
        ),
    ),
)
def test_any_rule_reads_back_as_it_was(fields, condition):
    rule = Rule(**fields, **condition)
    assert Rule.model_validate(rule.line()) == rule


@given(st.one_of(st.just(""), names), st.lists(texts, max_size=3), st.lists(texts, max_size=2))
def test_any_group_reads_back_as_it_was(name, sources, languages):
    group = GroupChoice(preset="docs", name=name, sources=sources, languages=languages)
    assert GroupChoice.model_validate(group.line()) == group


@pytest.mark.parametrize(
    ("field", "line", "said"),
    [
        ("rules", "word_count > 3", "is no rule; write column >= 50"),
        ("rules", "", "is no rule"),
        ("rules", "{column", "is no JSON"),
        ("rules", "9 <= word_count <= 3", "minimum is greater than maximum"),
        ("rules", "talk: word_count >= 3", "rules name the group talk"),
        ("groups", "doc", "preset"),
        ("groups", "docs where people anne", "names no documents"),
        ("groups", "docs and more", "is no group"),
    ],
)
def test_what_states_nothing_is_refused(field, line, said):
    with pytest.raises(ValidationError, match=said):
        FilterConfig.model_validate({"groups": ["docs"], field: [line]})
