"""The file of an experiment: the variants it means, and what is told where it means none."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.experiment_plan import question
from tasks.engine.errors import ExternalInputError, IngotError, RecipeError
from tasks.engine.run.requirements import require
from tasks.experiments.definition import EqualVariantsError, ExperimentError, read_experiment
from tasks.registry import STAGES

RECIPE = """name: ground
source: {sources: [{name: web, kind: html, paths: [pages]}]}
clean: {}
annotate: {}
filter: {rules: [{column: word_count, minimum: 5}, {column: mean_word_length, minimum: 2}]}
dedup: {}
tokenizer: {}
pack: {sequence_length: 64}
pretrain: {hidden_size: 32, heads: 2, key_value_heads: 1, tokens: 4096, batch_tokens: 512}
examples: {}
sft: {}
evaluate: {new_tokens: 8, models: [here], prompts: [], continuations: []}
export: {}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "one.html").write_text("<p>One page.</p>")
    (tmp_path / "ground.yaml").write_text(RECIPE)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "trial.yaml"
    path.write_text(f"recipe: ground.yaml\n{text}")
    return path


@pytest.mark.parametrize("recipe", ["quickstart", "small", "rlhf", "fineweb"])
def test_a_shipped_recipe_can_be_the_base(recipe: str, folder: Path) -> None:
    path = folder / "trial.yaml"
    path.write_text(f"recipe: {recipe}\nvariants: {{wide: {{pretrain.hidden_size: 192}}}}\n")
    for variant in read_experiment(path).variants:
        for each in variant.recipes:
            assert "index" not in each.configs
            require(STAGES, each.configs, variant.name)


def test_named_changes_one_left_out_and_a_grid(folder: Path) -> None:
    found = read_experiment(
        write(
            folder,
            "tokens: 2048\nseeds: [3, 4]\n"
            "variants: {wide: {pretrain.hidden_size: 64}, bare: {filter: null}, "
            "clean: {decontaminate: {ngram: 9}}}\n"
            "leave_one_out: filter.rules\n"
            "grid: {pretrain.learning_rate: [0.01, 0.02], pretrain.layers: [1, 2]}\n",
        )
    )
    assert [each.name for each in found.variants] == [
        *("base", "wide", "bare", "clean", "without word_count", "without mean_word_length"),
        *("learning_rate=0.01, layers=1", "learning_rate=0.01, layers=2"),
        *("learning_rate=0.02, layers=1", "learning_rate=0.02, layers=2"),
    ]
    recipes = {each.name: each.recipes[0].configs for each in found.variants}
    base = recipes["base"]
    assert list(base) == [
        *("source", "clean", "annotate", "filter", "dedup", "tokenizer", "pack", "pretrain"),
        "evaluate",
    ]
    assert base["evaluate"].model_dump()["models"] == []
    shown = {name: each["pretrain"].model_dump() for name, each in recipes.items()}
    assert {each["tokens"] for each in shown.values()} == {2048}
    assert shown["wide"]["hidden_size"] == 64
    last = shown["learning_rate=0.02, layers=1"]
    assert (last["learning_rate"], last["layers"], last["seed"]) == (0.02, 1, 3)
    assert "filter" not in recipes["bare"]
    assert recipes["clean"]["decontaminate"].model_dump()["ngram"] == 9
    rules = {
        name: [rule["column"] for rule in recipes[name]["filter"].model_dump()["rules"]]
        for name in ("base", "without word_count")
    }
    assert rules == {
        "base": ["word_count", "mean_word_length"],
        "without word_count": ["mean_word_length"],
    }
    names = [recipe.name for each in found.variants for recipe in each.recipes]
    assert len(set(names)) == len(names) == 20
    assert names[:2] == ["trial-base-3", "trial-base-4"]
    assert [r.configs["pretrain"].model_dump()["seed"] for r in found.variants[1].recipes] == [3, 4]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", ExperimentError, "nothing is tried"),
        ("variants: {base: {clean.workers: 2}}", ExperimentError, "two variants are called 'base'"),
        ("variants: {a: {}}", ExperimentError, "variants: a: it changes nothing"),
        (
            "variants: {a: {evaluate.seed: 1}}",
            ExperimentError,
            "a: evaluate.seed: all variants are",
        ),
        ("variants: {a: {sft.epochs: 2}}", ExperimentError, "sft.epochs: .* the pretrained model"),
        ("variants: {a: {pretrain.seed: 2}}", ExperimentError, "name seeds in `seeds`"),
        (
            "variants: {a: {pretrain: null}}",
            ExperimentError,
            "a: pretrain: without it there is no model",
        ),
        ("variants: {a: {pack: null}}", RecipeError, "a: pretrain reads sequences from pack"),
        ("variants: {a: {layers: 2}}", RecipeError, "a: layers: write it as stage.field: value"),
        ("variants: {a: {quality.seed: 2}}", RecipeError, "a: quality.seed: .* no stage 'quality'"),
        (
            "variants: {a: {pretrain.layer: 2}}",
            RecipeError,
            r"a: .*: pretrain\.layer: no such",
        ),
        ("variants: {a: 3}", ExternalInputError, r"trial.yaml: variants\.a: .*dictionary"),
        ("seeds: [1, 1]", ExternalInputError, "seeds: one seed or more, each once"),
        ("varants: {}", ExternalInputError, "varants: no such field; did you mean 'variants'"),
        ("leave_one_out: filter.rule", ExperimentError, "leave_one_out: 'filter.rule' is no list"),
        ("leave_one_out: sft.epochs", ExperimentError, "leave_one_out: 'sft.epochs' is no list"),
        (
            "name: a/b\nvariants: {a: {clean: null}}",
            ExperimentError,
            "name: 'a/b' is used in paths",
        ),
        (f"grid: {{pretrain.tokens: {list(range(1, 300))}}}", ExperimentError, "300 variants; 200"),
    ],
)
def test_what_is_no_experiment(folder: Path, text: str, error: type[IngotError], says: str) -> None:
    with pytest.raises(error, match=says):
        read_experiment(write(folder, text))


def test_variants_that_are_equal_are_named(folder: Path) -> None:
    write(
        folder,
        "variants: {same: {pretrain.tokens: 4096}, quick: {clean.workers: 1}, "
        "a: {pretrain.layers: 2}, b: {pretrain: {layers: 2}}}\n",
    )
    with pytest.raises(EqualVariantsError) as caught:
        question("trial.yaml")
    assert "'base' and 'same' and 'quick'; 'a' and 'b'" in str(caught.value)


def test_other_files_are_another_variant(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "two.html").write_text("<p>Another page.</p>")
    write(folder, "variants: {more: {source.sources.0.paths: [pages, more]}}\n")
    found = question("trial.yaml")
    keys = {run: found.keys[run] for run in found.plans}
    assert set(keys) == {("base", 0), ("more", 0)}
    assert keys["base", 0]["source"] != keys["more", 0]["source"]
