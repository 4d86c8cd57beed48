from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from tasks.engine.config import StageConfig, added
from tasks.engine.errors import CanonicalJsonError
from tasks.engine.identity.canonical import build_id, canonical_json, data_id, sha256_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(list(value))}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_field_order_does_not_matter(value: Any) -> None:
    assert canonical_json(value) == canonical_json(shuffled(value))


@given(VALUES, VALUES)
def test_different_values_have_different_texts(one: Any, other: Any) -> None:
    same = canonical_json(one) == canonical_json(other)
    assert same == (repr(shuffled(shuffled(one))) == repr(shuffled(shuffled(other))) or same)
    if type(one) is type(other) and isinstance(one, (str, int, bool)):
        assert same == (one == other)


def test_known_text() -> None:
    value = {"b": [1, 1.0, True, None], "a": {"ü": "é\n"}}
    assert canonical_json(value) == '{"a":{"ü":"é\\n"},"b":[1,1.0,true,null]}'


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), b"bytes", {1: "key"}, float("nan"), float("inf"), 1j, range(3)]
)
def test_what_json_does_not_know_raises_and_says_where(value: Any) -> None:
    with pytest.raises(CanonicalJsonError, match=r"\$\.config\.field"):
        canonical_json({"config": {"field": value}})


def test_equal_in_other_processes_with_other_hash_seeds() -> None:
    program = (
        "from tasks.engine.identity.canonical import build_id;"
        "config = {'a': 1.5, 'b': ['x', {'z': 1, 'y': None}]};"
        "print(build_id('s', 1, config, {'i': 'd', 'h': 'e'}))"
    )
    ids = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    here = build_id("s", 1, {"b": ["x", {"y": None, "z": 1}], "a": 1.5}, {"h": "e", "i": "d"})
    assert ids == {here + "\n"}


def test_ids_change_with_every_ingredient() -> None:
    base = ("s", 1, {"a": 1}, {"i": "d"})
    others = [
        ("t", 1, {"a": 1}, {"i": "d"}),
        ("s", 2, {"a": 1}, {"i": "d"}),
        ("s", 1, {"a": 1.0}, {"i": "d"}),
        ("s", 1, {"a": 1}, {"i": "e"}),
        ("s", 1, {"a": 1}, {"j": "d"}),
    ]
    assert len({build_id(*each) for each in [base, *others]}) == 6


def test_data_id_ignores_the_order_files_are_listed_in() -> None:
    files = [("a", 1, "x"), ("b", 2, "y")]
    assert data_id(files) == data_id(reversed(files))
    assert data_id(files) != data_id([("a", 2, "x"), ("b", 2, "y")])
    assert sha256_json([]) == data_id([])


class _Before(StageConfig):
    words: int = Field(5, description="Words.")


class _After(StageConfig):
    words: int = Field(5, description="Words.")
    stem: bool = added(False, "Whether words are stemmed.")
    names: tuple[str, ...] = added((), "Names.")


def test_a_field_added_later_enters_identity_once_it_is_set() -> None:
    assert _After().identity() == _Before().identity()
    assert _After(stem=False).identity() == _Before().identity()
    assert _After(stem=True).identity() == {"words": 5, "stem": True}
    assert _After(names=("a",)).identity() == {"words": 5, "names": ["a"]}
    assert "stem" not in _After().execution()
