"""The folder as plain transformers sees it, and the chat template rendered by it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from llm.tokens.hf_folder import (
    FILES,
    MissingSpecialTokenError,
    set_eos_token,
    special_id,
    write_folder,
)
from llm.tokens.special_tokens import END_OF_TEXT, PAD, TURN_END
from tests.llm.tokens.small_tokenizer import library_texts, small_folder, small_tokenizer

CHAT = [
    {"role": "system", "content": "Answer in one line."},
    {"role": "user", "content": "What does\nndarray.ndim hold?  "},
    {"role": "assistant", "content": "The number of axes.\n"},
    {"role": "user", "content": "{{ and }} {% this %}?"},
    {"role": "assistant", "content": "Text."},
]
RENDERED = (
    "<|im_start|>system\nAnswer in one line.<|im_end|>\n"
    "<|im_start|>user\nWhat does\nndarray.ndim hold?  <|im_end|>\n"
    "<|im_start|>assistant\nThe number of axes.\n<|im_end|>\n"
    "<|im_start|>user\n{{ and }} {% this %}?<|im_end|>\n"
    "<|im_start|>assistant\nText.<|im_end|>\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_folder(tmp_path / "tokenizer")


def loaded(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)


def test_auto_tokenizer_gives_the_same_ids(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    theirs, ours = loaded(folder), small_tokenizer()
    assert len(theirs) == ours.get_vocab_size()
    for text in (
        *library_texts(),
        "  two  spaces , and 'quotes' n't \n\n\t",
        "1999 中文 \U0001f600",
    ):
        ids = ours.encode(text).ids
        assert theirs(text)["input_ids"] == ids
        assert theirs.decode(ids) == text
    assert theirs.eos_token == END_OF_TEXT
    assert theirs.pad_token == PAD
    assert theirs.pad_token_id != theirs.eos_token_id
    assert theirs.bos_token is None
    assert theirs.padding_side == "right"


def test_chat_is_chatml(folder: Path) -> None:
    tokenizer = loaded(folder)
    assert tokenizer.apply_chat_template(CHAT, tokenize=False) == RENDERED
    prompt = tokenizer.apply_chat_template(CHAT[:4], tokenize=False, add_generation_prompt=True)
    assert RENDERED.startswith(prompt)
    assert prompt.endswith("<|im_start|>assistant\n")


def test_every_prefix_of_a_chat_is_a_prefix_in_tokens(folder: Path) -> None:
    tokenizer = loaded(folder)
    whole = tokenizer.apply_chat_template(CHAT, return_dict=True)["input_ids"]
    for turns in range(len(CHAT)):
        answered = CHAT[turns]["role"] == "assistant"
        part = tokenizer.apply_chat_template(
            CHAT[:turns], add_generation_prompt=answered, return_dict=True
        )["input_ids"] if turns else []  # fmt: skip
        assert whole[: len(part)] == part


def test_the_mask_is_the_answers_and_the_ends_of_their_turns(folder: Path) -> None:
    tokenizer = loaded(folder)
    encoded = tokenizer.apply_chat_template(
        CHAT, return_dict=True, return_assistant_tokens_mask=True
    )
    pairs = zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
    supervised = tokenizer.decode([index for index, mask in pairs if mask])
    assert supervised == "The number of axes.\n<|im_end|>Text.<|im_end|>"


def test_eos_of_a_chat_model(folder: Path) -> None:
    before = (folder / "tokenizer.json").read_bytes()
    set_eos_token(folder, TURN_END)
    assert loaded(folder).eos_token == TURN_END
    assert json.loads((folder / "special_tokens_map.json").read_text())["eos_token"] == TURN_END
    assert (folder / "tokenizer.json").read_bytes() == before


def test_a_tokenizer_without_the_special_tokens_is_refused(tmp_path: Path) -> None:
    foreign = Tokenizer(models.BPE(vocab={"a": 0, PAD: 1}, merges=[]))
    with pytest.raises(MissingSpecialTokenError, match="endoftext"):
        write_folder(foreign, tmp_path, END_OF_TEXT)
    with pytest.raises(MissingSpecialTokenError, match="pad"):  # there, but as an ordinary one
        special_id(foreign, PAD)
