"""A recipe that is wrong in whatever way ends in a RecipeError that names file and place, soon."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.engine.config import StageConfig
from tasks.engine.errors import RecipeError
from tasks.engine.identity.canonical import canonical_json
from tasks.recipe import Recipe, load, validate_recipe
from tasks.recipe_files import SHIPPED
from tasks.registry import STAGES
from tasks.settings_files import yaml_text

SMALL = "name: mine\nsource:\n  sources:\n    - {name: web, paths: [pages]}\ndedup: {}\n"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes") / "mine.yaml"


def refused(file: Path, text: str, *changes: str) -> str:
    """The one line a recipe is refused with; it names the file."""
    file.write_text(text, encoding="utf-8")
    began = time.process_time()
    with pytest.raises(RecipeError) as error:
        load(str(file), changes)
    assert time.process_time() - began < 5
    said = str(error.value)
    assert "\n" not in said
    assert len(said) < 1500
    assert str(file) in said or said.startswith("--set ")
    return said


def test_beside_a_maximum_its_minimum_is_offered(file: Path) -> None:
    said = refused(file, f"{SMALL}examples: {{least_answer_chars: 9}}\n")
    assert "no such field; did you mean 'max_answer_chars' or 'min_answer_chars'?" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "name: mine\ndedup: {}\nname: other\n",
            r"line 3, column 1: 'name' is there twice, on line 1 and on line 3; remove one",
        ),
        (
            "dedup:\n  threshold: 0.7\n  # lower\n  'threshold': 0.8\n",
            r"'threshold' is there twice, on line 2 and on line 4",
        ),
        (
            "source:\n  sources:\n    - {name: a, paths: [x], name: b}\n",
            r"'name' is there twice, on line 3 and on line 3",
        ),
        ("dedup: " + "[" * 5000 + "]" * 5000, "line 1: nested more than 40 deep"),
        ("dedup: " + "{a: " * 5000 + "}" * 5000, "line 1: nested more than 40 deep"),
        ("".join(f"{'  ' * n}a:\n" for n in range(400)), "line 41: nested more than 40 deep"),
        ("dedup: &a [*a]\n", r"line 1: \*a refers to something that contains it"),
        ("dedup: *nowhere\n", "undefined alias"),
        ("description: 2026-13-45\ndedup: {}\n", r"line 1, column 14: '2026-13-45' looks like"),
        (f"dedup: {{threshold: {'9' * 5000}}}\n", r"line 1, column 20: '9{40}' looks like int"),
        ("dedup: {threshold: .inf}\n", r"dedup\.threshold: Input should be a finite number"),
        ("dedup: {threshold: .nan}\n", r"dedup\.threshold: Input should be a finite number"),
        ("dedup: {threshold: 1.0e+999}\n", r"dedup\.threshold: Input should be a finite number"),
        (f"dedup: {{split_seed: {10**30}}}\n", r"dedup\.split_seed: a number that 64 bits do not"),
        ("pretrain: {tokens: 9223372036854775808}\n", r"pretrain\.tokens: a number that 64 bits"),
        ("dedup: {threshold: !!python/object:os.system 1}\n", "could not determine a constructor"),
        ("dedup: {}\n---\ndedup: {}\n", "expected a single document"),
        ("dedup: {}\n\x07", "special characters are not allowed"),
        ("? [a, b]\n: 1\n", "unhashable key"),
        ("description: [a]\ndedup: {}\n", "description: a text was expected"),
        ("name: [a]\ndedup: {}\n", "name: .* is used in paths"),
        (f"name: {'a' * 300}\ndedup: {{}}\n", "name: .* is used in paths"),
        ("on_code_drift: {a: b}\ndedup: {}\n", "on_code_drift: .* is not one of"),
        ("hold: dedup\ndedup: {}\n", "hold: a list of stages was expected, .* found 'dedup'"),
        ("hold: [clean]\ndedup: {}\n", "hold: 'clean' learns nothing from the corpus; .* do"),
        ("hold: [pack]\ndedup: {}\n", "hold: the recipe has no stage pack; add the section"),
        ("", "a recipe is a mapping"),
        ("- dedup\n", "a recipe is a mapping"),
        ("name: mine\n", "no stage at all"),
        (f"dedup: {'x' * 300_000}\n", "300,008 characters"),
        (
            "quality: {positives: [{name: a, url_pattern: 'a{1,99999999999999999999}'}]}",
            r"quality\.positives\.0\.url_pattern: not a regular expression",
        ),
        (
            f"quality: {{positives: [{{name: a, url_pattern: '{'(' * 9000}'}}]}}",
            r"quality\.positives\.0\.url_pattern: not a regular expression",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(file: Path, text: str, said: str) -> None:
    assert re.search(said, refused(file, text))


def test_aliases_of_aliases_are_counted_before_they_are_built(file: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert "line 5: more than 50,000 values" in refused(file, bomb)
    merged = "a0: &a0 {x: 1}\n"
    merged += "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12)
    )
    assert "more than 50,000 values" in refused(file, merged)


def test_an_alias_and_an_overridden_merge_are_no_mistake(file: Path) -> None:
    text = "name: mine\ndedup: &d {threshold: 0.7, bands: 10}\n"
    file.write_text(text.replace(", bands: 10", "") + "clean: {<<: {workers: 2}, workers: 1}\n")
    loaded = load(str(file))
    assert loaded.configs["clean"].workers == 1  # type: ignore[attr-defined]
    value = yaml_text.parse("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}, d: 2}\n", "here")
    assert value == {"a": [1, 2], "b": [1, 2], "c": {"d": 2}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("dedup.threshold=.inf", r"dedup\.threshold: Input should be a finite number"),
        ("dedup.threshold=-.inf", r"dedup\.threshold: Input should be a finite number"),
        ("dedup.threshold=.nan", r"dedup\.threshold: Input should be a finite number"),
        ("dedup.num_perm=true", r"dedup\.num_perm: a number was expected, not true or false"),
        ("dedup.threshold=true", r"dedup\.threshold: a number was expected"),
        ("dedup.num_perm=010", r"--set 'dedup\.num_perm=010': .*'010' .* base of 8"),
        ("dedup.num_perm=12:30", r"--set 'dedup\.num_perm.*'12:30' .* base of 60"),
        ("dedup={a: 1, a: 2}", "write it as stage.field=value"),
        ("dedup.threshold={a: 1, a: 2}", r"--set 'dedup.*'a' is there twice"),
        ("dedup.threshold=[", "--set 'dedup.threshold=\\[': line 1"),
        ("dedup.threshold=" + "[" * 3000, "nested more than 40 deep"),
        ("source.sources.²=1", r"there is nothing at '²'"),
        ("source.sources.²²²².name=1", r"there is nothing at '²²²²'"),
        (f"source.sources.{'9' * 5000}=1", r"there is nothing at '999"),
        ("source.sources.1.name=x", r"there is nothing at '1'"),
        ("source.sources.0.name.x=1", r"--set .*which has no fields"),
        ("dedup.\n=1", "no such field"),
        ("pack.rows=1", "has no stage 'pack'; it has source, dedup"),
    ],
)
def test_a_change_that_is_wrong_is_told(file: Path, change: str, said: str) -> None:
    assert re.search(said, refused(file, SMALL, change))


def test_numbers_of_yaml_1_1_are_told_with_their_field(file: Path) -> None:
    text = SMALL.replace("{}", "{num_perm: 010}")
    assert "line 5, column 19: num_perm: '010' would be a number to the base of 8" in refused(
        file, text
    )
    text = SMALL.replace("{}", "{keep: [1:30.5]}")
    assert "keep: '1:30.5' would be a number to the base of 60" in refused(file, text)
    assert yaml_text.parse("a: '010'\nb: 0\nc: 0x10\nd: 1_000\n", "here") == {
        "a": "010",
        "b": 0,
        "c": 16,
        "d": 1000,
    }


@pytest.mark.parametrize(
    ("given", "found"), [("1e6", 10**6), ("4.5e6", 4_500_000), ("1.0e+3", 1000)]
)
def test_a_whole_number_in_scientific_notation(file: Path, given: str, found: int) -> None:
    file.write_text(SMALL)
    seed = load(str(file), [f"dedup.split_seed={given}"]).configs["dedup"].identity()["split_seed"]
    assert (seed, type(seed)) == (found, int)
    for wrong in ("1.5e0", "1e400", "1e-3"):
        assert "dedup.split_seed" in refused(file, SMALL, f"dedup.split_seed={wrong}")


def test_a_file_that_is_no_text_and_a_name_no_file_can_have(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00dedup")
    with pytest.raises(RecipeError, match="cannot be read as UTF-8"):
        load(str(file))
    for name in ("a" * 5000, "a\0b", "", "."):
        with pytest.raises(RecipeError, match="no recipe") as error:
            load(name)
        assert "\n" not in str(error.value)


_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.dates(),
    st.binary(max_size=8),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=8), st.integers()), inner, max_size=4),
    ),
    max_leaves=8,
)
_fields = {name: sorted(stage.config.model_fields) for name, stage in STAGES.items()}


@st.composite
def _sections(draw: st.DrawFn) -> dict[Any, Any]:
    """Stages and fields there are (and some there are not) with any values."""
    chosen = draw(st.lists(st.sampled_from(sorted(STAGES)), max_size=3, unique=True))
    record: dict[Any, Any] = {}
    for stage in chosen:
        names = st.one_of(st.sampled_from(_fields[stage]), st.text(max_size=8))
        record[stage] = draw(st.one_of(st.dictionaries(names, _values, max_size=4), _values))
    keys = st.one_of(st.sampled_from(["name", "description", "on_code_drift"]), st.text(max_size=8))
    record.update(draw(st.dictionaries(keys, _values, max_size=2)))
    return record


def _sound_or_told(answer: Any, file: Path) -> None:
    """Either a recipe whose identity can be told, or lines that name file and field."""
    try:
        recipe: Recipe = answer()
    except RecipeError as error:
        for line in str(error).splitlines():
            assert line.startswith((f"{file}: ", "--set ")), line
            assert len(line) < 1500
        return
    for config in recipe.configs.values():
        assert isinstance(config, StageConfig)
        canonical_json(config.identity())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(record=_sections())
def test_any_values_are_a_recipe_or_an_explained_error(record: dict[Any, Any]) -> None:
    path = Path("mine.yaml")
    _sound_or_told(lambda: validate_recipe(record, path), path)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_text_is_a_recipe_or_an_explained_error(data: st.DataObject, file: Path) -> None:
    """Of pieces of real recipes and of YAML's own marks, so that much of it parses."""
    shipped = (SHIPPED / "quickstart.yaml").read_text(encoding="utf-8")
    marks = st.sampled_from([*"{}[]&*!|>?:-,#%@`'\"\n\t ~<=0.²\0\x85\u2028", "<<: ", "&a ", "*a"])
    if data.draw(st.booleans()):
        text = "".join(data.draw(st.lists(st.one_of(marks, st.characters()), max_size=60)))
    else:
        start = data.draw(st.integers(0, len(shipped)))
        end = data.draw(st.integers(start, min(len(shipped), start + 400)))
        middle = data.draw(st.one_of(marks, st.text(max_size=5)))
        text = shipped[:start] + middle + shipped[end:]
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    _sound_or_told(lambda: load(str(file)), file)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    key=st.one_of(
        st.sampled_from(["source.sources.0", "dedup", "source.sources", "source"]),
        st.text(max_size=10),
    ),
    field=st.one_of(st.sampled_from(["threshold", "0", "name", "paths", "seed"]), st.text()),
    value=st.one_of(_values.map(lambda value: yaml.safe_dump(value)), st.text(max_size=20)),
)
def test_any_change_is_made_or_explained(key: str, field: str, value: str, file: Path) -> None:
    file.write_text(SMALL, encoding="utf-8")
    _sound_or_told(lambda: load(str(file), [f"{key}.{field}={value}"]), file)
