"""What stages of a recipe ask of each other: told before any of them runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flows.planning import planner_for
from llm.tokens.bpe import min_tokens
from tasks.engine.config import StageConfig
from tasks.engine.errors import RecipeError
from tasks.engine.run.requirements import problems, require
from tasks.engine.store.store import Store
from tasks.recipe import Recipe, load
from tasks.recipe_files import SHIPPED
from tasks.registry import STAGES
from tasks.stages.pretrain_config import PretrainConfig
from tests.llm.tokens.small_tokenizer import library_texts, small_tokenizer


def configs(**sections: dict[str, Any]) -> Mapping[str, StageConfig]:
    return {name: STAGES[name].config.model_validate(fields) for name, fields in sections.items()}


SHORT: dict[str, dict[str, Any]] = {
    "dedup": {},
    "tokenizer": {},
    "pack": {"sequence_length": 64},
}
WORDS = "several words that fill it " * 20
LONG_WORD = "x" * 4_000
FILES = {"make_from_documents": False, "instruction_files": ["a"], "preference_files": ["b"]}
WEB: dict[str, Any] = {"sources": [{"name": "web", "paths": ["a"]}]}
WIKI = [{"source": "wiki", "weight": 1}]
APART: dict[str, Any] = {"pack": {"by_source": True}}
SCORED: dict[str, Any] = {"annotate": {}, "quality": {}}
SLICED: dict[str, Any] = {
    "pack": {"by_source": True, "slices": [{"name": "best", "source": "web"}]},
}
SEARCHED: dict[str, Any] = {"pretrain": {"searched_mixture": True, "tokens": 1_000}}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"pack": {"sequence_length": 256}, "sft": {"max_length": 1024}},
            "sft.max_length: 1024 is more than the model's context, pack.sequence_length: 256",
        ),
        (
            {"pack": {"sequence_length": 256}, "dpo": {"max_length": 257}},
            "dpo.max_length: 257 is more than",
        ),
        (
            SHORT | {"evaluate": {"new_tokens": 64}},
            "evaluate.new_tokens: 64 leaves no room for a prompt",
        ),
        (
            {"pretrain": {}, "evaluate": {"verbatim_prompts": 9, "lm_eval_tasks": ["arc_easy"]}},
            "evaluate.verbatim_prompts: answers are looked up in what was trained on, and the "
            "recipe has no section index",
        ),
        (SHORT | {"export": {"new_tokens": 99}}, "export.new_tokens: 99 leaves no room"),
        (
            SHORT | {"judge": {"new_tokens": 64, "pairs": ["p.jsonl"]}},
            "judge.new_tokens: 64 leaves no room",
        ),
        ({"judge": {}}, "judge: there is no prompt for models to answer"),
        (
            SHORT | {"evaluate": {"new_tokens": 8, "prompts": ["Hi", WORDS]}},
            "evaluate.prompts.1: 'several words that fill it several words' has at least 109",
        ),
        (
            SHORT | {"evaluate": {"new_tokens": 8, "continuations": [LONG_WORD]}},
            "has at least 125 tokens",
        ),
        (
            SHORT | {"evaluate": {"new_tokens": 8, "continuations": [""]}},
            "evaluate.continuations.0: an empty text has no token",
        ),
        (SHORT | {"export": {"prompts": [WORDS]}}, "export.prompts.0: 'several"),
        (
            SHORT | {"tokenizer": {"from_folder": "mine"}, "export": {"prompts": [""]}},
            "export.prompts.0: an empty text",
        ),
        ({"pack": {}, "mix": {}}, "mix: needs rows of one source each; set pack.by_source=true"),
        (
            APART | {"source": WEB, "mix": {"added": ["web", "wiki"]}},
            "mix.added.1: 'wiki' is none of source.sources, which are web",
        ),
        (
            APART | {"dedup": {"validation_fraction": 0}, "mix": {}},
            "dedup.validation_fraction: 0 holds no document out",
        ),
        (APART | SEARCHED, "the recipe searches for none; add a section mix"),
        (
            APART | SEARCHED | {"mix": {"target_tokens": 999}},
            "pretrain.tokens: 1,000, and the mixture is searched for 999",
        ),
        (
            APART | {"mix": {"target_tokens": 999}, "pretrain": {"searched_mixture": True}},
            "pretrain.tokens: one pass over all, and the mixture is searched for 999",
        ),
        (
            {"source": WEB, "tokenizer": {"sources": ["wiki"]}},
            "tokenizer.sources.0: 'wiki' is none of source.sources, which are web",
        ),
        (
            {"dedup": {"validation_fraction": 0}, "evaluate": {}},
            "dedup.validation_fraction: 0 holds no document out",
        ),
        ({"examples": FILES | {"instruction_files": []}, "sft": {}}, "examples.instruction_files"),
        ({"examples": {"max_instructions": 0}, "sft": {}}, "sft: learns from instructions"),
        ({"examples": FILES | {"preference_files": []}, "dpo": {}}, "examples.preference_files"),
        (
            {
                "source": {"sources": [{"name": "web", "paths": ["a"]}]},
                "pack": {"weights": [{"source": "wiki", "epochs": 2}]},
            },
            "pack.weights.0.source: 'wiki' is none of source.sources, which are web",
        ),
        (
            {"source": WEB, "pack": {"by_source": True}, "pretrain": {"mixture": WIKI}},
            "pretrain.mixture.0.source: 'wiki' is none of source.sources, which are web",
        ),
        (
            {"source": WEB, "pack": {"by_source": True}, "pretrain": {"anneal": WIKI}},
            "pretrain.anneal.0.source: 'wiki' is none of source.sources",
        ),
        (
            {"pack": {}, "pretrain": {"mixture": WIKI}},
            "pretrain.mixture: needs rows of one source each; set pack.by_source=true",
        ),
        (
            {
                "pack": {"by_source": True, "weights": [{"source": "wiki", "epochs": 0}]},
                "pretrain": {"mixture": WIKI},
            },
            "pretrain.mixture.0.source: pack.weights leaves 'wiki' out",
        ),
        (
            SLICED | {"annotate": {}},
            "pack.slices: they go by the quality of documents, and the recipe has no section qual",
        ),
        (
            SCORED
            | SLICED
            | {"source": {"sources": [{"name": "best", "paths": ["a"]}]}}
            | {"pack": {"slices": [{"name": "good", "source": "web"}]}},
            "pack.slices.0.source: 'web' is none of source.sources, which are best",
        ),
        (
            SCORED | {"source": WEB, "pack": {"slices": [{"name": "web", "source": "web"}]}},
            "pack.slices.0.name: 'web' is a source; give the slice a name of its own",
        ),
        (
            SCORED | SLICED | {"source": WEB, "pretrain": {"mixture": WIKI}},
            "pretrain.mixture.0.source: 'wiki' is none of source.sources and pack.slices, which "
            "are web, best",
        ),
        (SCORED | SLICED | {"mix": {}}, "mix: it searches mixtures of whole sources"),
        (
            {"filter": {"rules": [{"column": "words", "minimum": 3}]}},
            "filter: rule 'words': no column 'words' in the attributes; they have doc_id",
        ),
        (
            {"filter": {"rules": [{"column": "language", "minimum": 3}]}},
            "is of type string; use allowed",
        ),
    ],
)
def test_stages_that_do_not_go_together(sections: dict[str, dict[str, Any]], message: str) -> None:
    (found,) = problems(STAGES, configs(**sections))
    assert message in found


@pytest.mark.parametrize(
    "sections",
    [
        {"pack": {"sequence_length": 256}, "sft": {"max_length": 256}, "dpo": {"max_length": 0}},
        SHORT | {"evaluate": {"new_tokens": 63}, "export": {"new_tokens": 63}},
        SHORT | {"evaluate": {"new_tokens": 8, "prompts": [""], "continuations": ["x" * 60]}},
        # A tokenizer that is taken may have tokens of any length.
        SHORT | {"tokenizer": {"from_folder": "mine"}, "export": {"prompts": [WORDS]}},
        {"examples": FILES, "sft": {}, "dpo": {}},
        {"examples": {}, "sft": {}, "dpo": {}, "judge": {}},
        {"dedup": {"validation_fraction": 0}},
        {"sft": {"max_length": 1 << 20}},
        {"source": WEB, "pack": {"by_source": True}, "pretrain": {}},
        {"pack": {"by_source": True}, "pretrain": {"mixture": WIKI, "anneal": WIKI}},
        APART | SEARCHED | {"mix": {"target_tokens": 1_000}},
        APART | SEARCHED | {"mix": {}},
        SCORED | SLICED | {"source": WEB, "pretrain": {"mixture": [WIKI[0] | {"source": "best"}]}},
    ],
)
def test_stages_that_do(sections: dict[str, dict[str, Any]]) -> None:
    assert problems(STAGES, configs(**sections)) == []


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_go_together(path: Path) -> None:
    assert problems(STAGES, load(path.stem).configs) == []


def test_all_of_it_is_told_at_once_and_before_the_store_is_read(tmp_path: Path) -> None:
    made = configs(
        dedup={},
        tokenizer={},
        pack={"sequence_length": 64},
        sft={"max_length": 65},
        evaluate={"new_tokens": 64},
    )
    with pytest.raises(RecipeError) as caught:
        require(STAGES, made, "mine.yaml")
    assert [line.split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["mine.yaml", "sft.max_length"],
        ["mine.yaml", "evaluate.new_tokens"],
    ]
    recipe = load("quickstart", ["sft.max_length=4096"])
    store = Store(str(tmp_path / "home"))
    with pytest.raises(RecipeError, match=r"quickstart: sft\.max_length: 4096"):
        planner_for(recipe, "quickstart", store)
    # The settings of a form count as those of the recipe do.
    sound = load("quickstart")
    wrong = {"dpo": sound.configs["dpo"].model_copy(update={"max_length": 9999})}
    with pytest.raises(RecipeError, match=r"dpo\.max_length: 9999"):
        planner_for(sound, "quickstart", store, configs=wrong)
    assert isinstance(sound, Recipe)
    planner_for(sound, "quickstart", store)


def test_what_stages_ask_of_others_are_fields_of_theirs() -> None:
    asked = {field for stage in STAGES.values() for need in stage.requires for field in need.of}
    assert "pack.sequence_length" in asked
    for field in asked:
        stage, _, name = field.removesuffix("?").partition(".")
        config = STAGES[stage].config
        assert name in config.model_fields or isinstance(getattr(config, name), property), field


def test_files_of_examples_are_read_before_anything_is_trained() -> None:
    order = list(STAGES)
    assert order.index("decontaminate") < order.index("examples") < order.index("pretrain")


def test_a_model_to_go_on_from(tmp_path: Path) -> None:
    config = {
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    here = f"pretrain.continue_from={tmp_path}"
    assert problems(STAGES, load("quickstart", [here]).configs) == []
    changes = [here, "pretrain.layers=5", "pack.sequence_length=512"]
    (found,) = problems(STAGES, load("quickstart", changes).configs)
    assert "layers 4 there, 5 here, pack.sequence_length 256 there, 512 here" in found


def test_a_llama_that_transformers_would_not_load() -> None:
    """Its config class refuses a hidden_size that is no multiple of the heads."""
    shape: dict[str, Any] = {"hidden_size": 64, "heads": 6, "key_value_heads": 2, "head_dim": 16}
    with pytest.raises(ValidationError, match=r"hidden_size \(64\) is no multiple of its heads"):
        PretrainConfig(qk_norm=False, **shape)
    PretrainConfig(qk_norm=True, **shape)
    PretrainConfig(qk_norm=False, **shape | {"heads": 4})


def test_no_tokenizer_needs_fewer_tokens() -> None:
    tokenizer = small_tokenizer()  # of tokens of 16 bytes at most
    for text in (
        *library_texts(),
        "x" * 999,
        "é" * 40,
        "1234567",
        "  a\n\n\n  b",
        WORDS,
        "日本語" * 9,
    ):
        assert 0 < min_tokens(text, 16, "single") <= len(tokenizer.encode(text).ids)
    assert min_tokens("x" * 999, 16, "single") == 63
    assert min_tokens("one two 34", 16, "single") == 5
    assert min_tokens("one two 3456", 16, "triple") == 5
