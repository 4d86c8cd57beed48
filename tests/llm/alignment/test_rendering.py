"""Conversations as tokens: the prompt as at inference, the loss where the assistant speaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm.alignment.rendering import Chat, PadTokenError, TemplateError, UnusableMessagesError
from llm.tokens.hf_folder import set_eos_token
from llm.tokens.special_tokens import PAD, TURN_END
from tests.llm.tokens.small_tokenizer import small_folder

USER = {"role": "user", "content": "What does textwrap.fill do?"}
ANSWER = {"role": "assistant", "content": "Fills a paragraph of text."}
MORE = {"role": "user", "content": "And dedent?"}
LAST = {"role": "assistant", "content": "Removes common leading whitespace."}


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    return Chat(small_folder(tmp_path_factory.mktemp("tokenizer")))


def test_prompt_and_answer(chat: Chat) -> None:
    rendered = chat.render([USER, ANSWER])
    assert rendered.prompt == (
        f"<|im_start|>user\n{USER['content']}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert rendered.completion == f"{ANSWER['content']}{TURN_END}"
    assert rendered.completion_ids[-1] == chat.end
    assert chat.tokenizer.decode(rendered.completion_ids) == rendered.completion
    assert not any(rendered.prompt_supervised)


@pytest.mark.parametrize("content", ["Plain.", "\n\nBegins with lines.", "  indented", "é" * 9])
def test_the_prompt_is_what_inference_sends(chat: Chat, content: str) -> None:
    rendered = chat.render([USER, ANSWER, MORE, {"role": "assistant", "content": content}])
    sent = chat.tokenizer.apply_chat_template(
        [USER, ANSWER, MORE], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    assert rendered.prompt_ids == sent


def test_earlier_answers_are_learned_too(chat: Chat) -> None:
    rendered = chat.render([USER, ANSWER, MORE, LAST])
    spoken = [
        token
        for token, mine in zip(rendered.prompt_ids, rendered.prompt_supervised, strict=True)
        if mine
    ]
    assert chat.tokenizer.decode(spoken) == f"{ANSWER['content']}{TURN_END}"


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "empty"),
        ([USER], "no_answer"),
        ([USER, {"role": "assistant", "content": " \n"}], "empty"),
        ([USER, {"role": "assistant", "content": None}], "empty"),
        ([USER, {"role": "tool", "content": "x"}], "role"),
        ([USER, {"role": "assistant", "content": f"Stop.{TURN_END}More."}], "special_token"),
    ],
)
def test_what_is_no_conversation(chat: Chat, messages: list, reason: str) -> None:
    with pytest.raises(UnusableMessagesError) as caught:
        chat.render(messages)
    assert caught.value.reason == reason


def with_template(folder: Path, old: str, new: str) -> Chat:
    path = small_folder(folder) / "chat_template.jinja"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return Chat(folder)


def test_a_template_that_changes_the_prompt(tmp_path: Path) -> None:
    chat = with_template(tmp_path, "'<|im_start|>assistant\\n'", "'<|im_start|>bot\\n'")
    with pytest.raises(TemplateError, match="renders a prompt otherwise"):
        chat.render([USER, ANSWER])


def test_a_template_that_does_not_end_answers(tmp_path: Path) -> None:
    old = "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}"
    chat = with_template(tmp_path, old, "{%- generation -%}{{- message['content'] -}}")
    with pytest.raises(TemplateError, match="does not end an answer"):
        chat.render([USER, ANSWER])


def test_padding_that_is_the_end_of_a_turn(tmp_path: Path) -> None:
    folder = small_folder(tmp_path)
    set_eos_token(folder, TURN_END)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": TURN_END}))
    with pytest.raises(PadTokenError, match="a token of its own") as caught:
        Chat(folder)
    assert PAD in str(caught.value)
