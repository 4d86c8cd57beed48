"""A conversation as tokens: the chat template applied, and which tokens the model must produce.

A row is the tokens of its prompt, exactly as they are at inference, and behind them those of the
answer. The two are tokenised apart: the merge of a token across the boundary would train the
model on a prompt it never sees again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm.tokens.special_tokens import END_OF_TEXT, PAD, SPECIAL_TOKENS, TURN_END

Message = Mapping[str, str | None]
ROLES = ("system", "user", "assistant")


class TemplateError(ValueError):
    """The chat template renders a prompt differently once an answer follows it."""


class PadTokenError(ValueError):
    """Padding is a token the model must learn to produce, and would be masked out with it."""


class UnusableMessagesError(ValueError):
    """Messages that are no conversation to learn from.

    Attributes:
        reason: one of `empty`, `role`, `no_answer`, `special_token`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Rendered:
    """One row.

    Attributes:
        prompt, completion: the text before the last answer, and that answer to its turn's end.
        prompt_ids, completion_ids: their tokens.
        prompt_supervised: of the prompt's tokens, those of earlier answers, one a token.
    """

    prompt: str
    completion: str
    prompt_ids: list[int]
    completion_ids: list[int]
    prompt_supervised: list[bool]


class Chat:
    """The tokenizer of a model folder and its chat template.

    Raises:
        PadTokenError: its padding token is one that ends a text or a turn.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
        ends = [self.tokenizer.convert_tokens_to_ids(token) for token in (END_OF_TEXT, TURN_END)]
        self.pad: int | None = self.tokenizer.pad_token_id
        self.end: int = ends[1]
        if self.pad is None or self.pad in ends:
            raise PadTokenError(
                f"{folder}: the padding token is {self.tokenizer.pad_token!r}; where padding is "
                f"masked, the model would never learn to stop. Make it a token of its own: {PAD}"
            )

    def render(self, messages: Sequence[Message]) -> Rendered:
        """A conversation that ends with the assistant's answer.

        Raises:
            UnusableMessagesError: it does not, or a message is empty, of an unknown role, or
                spells out a special token, which would become one.
            TemplateError: the template is at fault; names the messages.
        """
        checked = check_messages(messages)
        if checked[-1]["role"] != "assistant":
            raise UnusableMessagesError("no_answer", f"ends with the {checked[-1]['role']}'s turn")
        spans = [
            self._span(checked[: place + 1])
            for place, message in enumerate(checked)
            if message["role"] == "assistant"
        ]
        start, end = spans.pop()
        whole = self._text(checked, open_turn=False)
        prompt, completion = whole[:start], whole[start:end]
        encoded = self.tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)
        supervised = [
            any(first <= begin and stop <= last for first, last in spans)
            for begin, stop in encoded["offset_mapping"]
        ]
        answer = self.tokenizer(completion, add_special_tokens=False)
        return Rendered(prompt, completion, encoded["input_ids"], answer["input_ids"], supervised)

    def _span(self, messages: Sequence[Message]) -> tuple[int, int]:
        """Where the last message lies in the text, in characters, the end of its turn included."""
        before = self._text(messages[:-1], open_turn=True)
        whole = self._text(messages, open_turn=False)
        if not whole.startswith(before):
            raise TemplateError(
                "the chat template renders a prompt otherwise once an answer follows: alone it "
                f"ends {before[-60:]!r}, with the answer it begins {whole[: len(before)][-60:]!r}. "
                "The model would learn from prompts it never gets; correct chat_template.jinja"
            )
        end = whole.rfind(TURN_END)
        if end < len(before):
            raise TemplateError(
                f"the chat template does not end an answer with {TURN_END}: {whole[-60:]!r}; the "
                "model would never learn to stop. Correct chat_template.jinja"
            )
        return len(before), end + len(TURN_END)

    def _text(self, messages: Sequence[Message], open_turn: bool) -> str:
        text: str = self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=open_turn
        )
        return text


def check_messages(messages: Sequence[Message] | None) -> list[dict[str, str]]:
    """Messages with a known role and a text each.

    Raises:
        UnusableMessagesError: there are none, or one is unusable; names its place.
    """
    if not messages:
        raise UnusableMessagesError("empty", "no messages")
    checked: list[dict[str, str]] = []
    for place, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise UnusableMessagesError("role", f"message {place}: role {role!r}")
        if not content or not content.strip():
            raise UnusableMessagesError("empty", f"message {place}: no text")
        spelled = next((token for token in SPECIAL_TOKENS if token in content), None)
        if spelled is not None:
            raise UnusableMessagesError("special_token", f"message {place}: contains {spelled}")
        checked.append({"role": role, "content": content})
    return checked
