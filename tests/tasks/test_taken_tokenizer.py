"""A recipe that takes a tokenizer of another program, from pages to a model that others load."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from llm.tokens.special_tokens import END_OF_TEXT, TURN_END
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.run.requirements import require
from tasks.engine.store.store import Store
from tasks.recipe import Recipe, load
from tasks.registry import STAGES
from tests.llm.tokens.small_tokenizer import library_texts, of_pieces

CONTEXT = 64
TEXTS = [part for text in library_texts() for part in text.split("\n\n") if len(part) > 160][:200]
SPOKEN = f"日本語 é \U0001f600 say {TURN_END}"


def byte_level() -> Tokenizer:
    """As GPT-2's: its split, no token for the end of a turn or for padding."""
    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    found.train_from_iterator(library_texts(), trainer)
    found.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False)])
    return found


def pieces() -> Tokenizer:
    """As SentencePiece's: no split, spaces as underscores, bytes for characters it has not."""
    learning = Tokenizer(models.BPE())
    learning.normalizer = normalizers.Replace(" ", "\u2581")
    learning.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    texts = [text.replace("\n", " ") for text in library_texts()]
    learning.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=500, show_progress=False))
    model = json.loads(learning.to_str())["model"]
    names = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    names += sorted(model["vocab"], key=lambda token: int(model["vocab"][token]))
    merges = [tuple(pair) for pair in model["merges"]]
    return of_pieces(names, merges)


def recipe_in(folder: Path) -> Recipe:
    """Pages and a recipe that trains on them with the tokenizer in `mine`."""
    rows = [
        {
            "text": f"<html><body><p>{html.escape(text)}</p></body></html>",
            "url": f"https://x.example/{number}",
        }
        for number, text in enumerate([*(f"{text} {SPOKEN}" for text in TEXTS[:3]), *TEXTS[3:]])
    ]
    (folder / "pages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pages = {"name": "pages", "paths": [str(folder / "pages.jsonl")], "row_type": "text/html"}
    quiet = {"device": "cpu", "threads": 1}
    size = {"hidden_size": 64, "layers": 2, "heads": 2, "key_value_heads": 1}
    record = {
        "name": "taken",
        "source": {"workers": 1, "sources": [pages]},
        "clean": {"workers": 1},
        "dedup": {"workers": 1, "validation_fraction": 0.1},
        "tokenizer": {"from_folder": str(folder / "mine")},
        "pack": {"sequence_length": CONTEXT, "workers": 1},
        "pretrain": {
            **quiet,
            **size,
            "tokens": 80 * 8 * CONTEXT,
            "batch_tokens": 8 * CONTEXT,
            "learning_rate": 0.01,
            "precision": "fp32",
            "compile": False,
        },
        "evaluate": {
            **quiet,
            "prompts": [],
            "continuations": ["Return the"],
            "max_generated": 0,
            "new_tokens": 8,
        },
        "export": {"threads": 1, "new_tokens": 8, "prompts": ["Return the", f"a {SPOKEN}"]},
    }
    (folder / "taken.yaml").write_text(yaml.safe_dump(record))
    return load(str(folder / "taken.yaml"))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("made", [byte_level, pieces])
def test_from_pages_to_a_model_that_others_load(
    tmp_path: Path, made: Callable[[], Tokenizer]
) -> None:
    theirs = made()
    PreTrainedTokenizerFast(tokenizer_object=theirs, eos_token=END_OF_TEXT).save_pretrained(
        tmp_path / "mine"
    )
    theirs.encode_special_tokens = True  # a special token that a page spells is text
    recipe = recipe_in(tmp_path)
    require(STAGES, recipe.configs, recipe.name)
    wired = chain(STAGES, recipe.configs)
    store = Store(str(tmp_path / "home"))
    done = build(Planner(wired, recipe.configs, recipe.name, store, Selection()))

    size = done["tokenizer"].artifact.facts["vocabulary_size"]
    assert size > theirs.get_vocab_size()
    documents = {
        row["doc_id"]: row["text"]
        for row in done["dedup"].artifact.data("documents").table().to_pylist()
    }
    assert sum(SPOKEN in text for text in documents.values()) == 3
    end = theirs.token_to_id(END_OF_TEXT)
    packed = done["pack"].artifact.data("tokens").table().to_pylist()
    assert len(packed) == len(documents)
    for row in packed:
        told = theirs.encode(documents[row["doc_id"]], add_special_tokens=False).ids
        assert row["tokens"] == [*told, end]

    scores = {
        row["metric"]: row["value"]
        for row in done["evaluate"].artifact.data("scores").table().to_pylist()
        if row["model"] == "base"
    }
    # Of a model that has learned nothing: each token as likely as another.
    (held,) = [
        row["bytes_per_token"]
        for row in done["tokenizer"].artifact.data("fertility").table().to_pylist()
        if row["split"] == "validation"
    ]
    assert scores["bits_per_byte"] < 0.8 * math.log2(size) / held

    checks = done["export"].artifact.data("parity").table().to_pylist()
    assert {row["check"] for row in checks} >= {"logits", "greedy", "tokenizer", "chat_template"}
    assert all(row["passed"] for row in checks)
    folder = done["export"].artifact.data("model").folder()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.vocab_size >= size
    assert (tokenizer.eos_token, tokenizer.convert_tokens_to_ids(END_OF_TEXT)) == (END_OF_TEXT, end)
    text = f"Return the {SPOKEN.removesuffix(TURN_END)}"
    given = tokenizer(text, return_tensors="pt")
    assert given.input_ids[0].tolist() == theirs.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(given.input_ids[0]) == text
    answer = model.generate(**given, max_new_tokens=8, min_new_tokens=8, do_sample=False)
    assert answer.shape == (1, given.input_ids.shape[1] + 8)
    assert tokenizer.decode(answer[0]).startswith(text)
