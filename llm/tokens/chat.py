"""A conversation as tokens: the one encoder of tuning, evaluation and chat.

The chat template decides over the frame of a conversation, and the frame alone has special
tokens. What a message says is text: one that spells out `<|im_end|>` is encoded as those
characters and ends no turn. On all other conversations the tokens are those of transformers'
`apply_chat_template`, with one exception: an answer is tokenised apart from the prompt before it,
as it is when the model speaks, so that one that begins with a newline is not merged with the
newline of the frame.

Where an answer ends and which tokens are its own is told from the frame, so a template needs no
`{% generation %}`. A model of another program has special tokens of its own: the end of a turn is
the first one behind an answer.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import TemplateError as JinjaError
from tokenizers import Tokenizer

from llm.errors import ExpectedError
from llm.tokens.bulk_encoding import BulkEncoder
from llm.tokens.messages import Message, UnusableMessagesError, check_messages
from llm.tokens.special_tokens import END_OF_TEXT, PAD, TURN_END
from llm.tokens.turn_frame import fixed_date, show_places, token_behind_answers, trims

_FRAMES = 4096  # conversations of different roles whose frames are remembered

Frame = tuple[str | int, ...]  # texts of the template, and places of messages


class TemplateError(ExpectedError, ValueError):
    """The chat template does not fit: names what it does and what is expected of it."""


class PadTokenError(ExpectedError, ValueError):
    """Padding is a token the model must learn to produce, and would be masked out with it.

    Attributes:
        end: id of the end of a turn.
    """

    def __init__(self, message: str, end: int) -> None:
        super().__init__(message)
        self.end = end


@dataclass(frozen=True)
class Rendered:
    """A conversation that ends with an answer.

    Attributes:
        prompt, completion: the text before the last answer, and that answer to its turn's end.
        prompt_ids, completion_ids: their tokens.
        prompt_supervised: of the prompt's tokens, those of earlier answers to be learned, one a
            token.
    """

    prompt: str
    completion: str
    prompt_ids: list[int]
    completion_ids: list[int]
    prompt_supervised: list[bool]


@dataclass(frozen=True)
class _Piece:
    """A span of a rendered conversation.

    Attributes:
        special: the id of the special token it is; else it is text.
        message: the place of the message it belongs to with its turn's end, if it is an answer.
    """

    text: str
    special: int | None
    message: int | None


class ChatEncoder:
    """Renders and tokenises conversations with the files in a model's folder.

    Args:
        folder: with the tokenizer's files and `chat_template.jinja`.

    Attributes:
        tokenizer: transformers' own.
        pad, end, text_end: ids of padding, of the end of a turn and of the end of a text.
        turn_end: the token that ends a turn.
        stops: ids that end a text or a turn.
        dated: the template writes the date into prompts; it is always the same one here.

    Raises:
        PadTokenError: the padding token is the one that ends a turn, or there is none.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder))
        self._plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._encoder = BulkEncoder(folder)
        added = self._plain.get_added_tokens_decoder()
        self._specials = {token.content: at for at, token in added.items() if token.special}
        longest_first = sorted(self._specials, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._frame = lru_cache(_FRAMES)(self._frame_of)
        template = self.tokenizer.chat_template
        self.dated = "strftime_now" in str(template)
        self._trims = False
        self.turn_end = TURN_END if TURN_END in self._specials else self.tokenizer.eos_token
        if template is not None:
            # A template that refuses this refuses more, and says so where it is used.
            with contextlib.suppress(TemplateError):
                self._trims = trims(self._template)
                found = token_behind_answers(self._template, self._special)
                self.turn_end = found or self.turn_end
        self.end: int = self._specials.get(self.turn_end, -1)
        told = _generation_config(folder)
        ends = {self.end, *told, self.tokenizer.eos_token_id}
        ends |= {self._specials.get(token) for token in (END_OF_TEXT, TURN_END)}
        self.stops: tuple[int, ...] = tuple(sorted(ends - {None, -1}))
        others = [token for token in self.stops if token != self.end]
        self.text_end: int = self._specials.get(END_OF_TEXT, (others or [self.end])[0])
        pad: int | None = self.tokenizer.pad_token_id
        if pad is None:
            pad = _config(folder).get("pad_token_id")
            # What is padded is told by its place alone; TRL asks for some token.
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if pad is None or pad == self.end:
            raise PadTokenError(
                f"{folder}: the padding token is {self.tokenizer.pad_token!r}; where padding is "
                f"masked, the model would never learn to stop. Make it a token of its own: {PAD}",
                self.end,
            )
        self.pad: int = pad

    def text(self, text: str) -> list[int]:
        """Ids of plain text: no special token is added, and none that it spells out is one."""
        if not text:
            return []
        ids: list[int] = self._encoder.ids(text).tolist()
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens spelled out."""
        text: str = self._plain.decode(list(ids), skip_special_tokens=False)
        return text

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a conversation up to where the assistant begins to speak.

        Raises:
            TemplateError: the template is at fault.
        """
        messages = self._shown(messages)
        frame = self._checked_frame(messages, open_turn=True)
        return [token for token, _ in self._tokens(self._pieces(frame, messages))]

    def render(self, messages: Sequence[Message] | None) -> Rendered:
        """A conversation that ends with the assistant's answer.

        Args:
            messages: role, content and, of an answer that is not to be learned, `supervised`
                false. The last answer always is.

        Raises:
            UnusableMessagesError: it does not end so, or a message is empty or of an unknown role.
            TemplateError: the template is at fault.
        """
        checked = self._shown(check_messages(messages))
        last = len(checked) - 1
        role = checked[last]["role"]
        if role != "assistant":
            raise UnusableMessagesError("no_answer", f"ends with the {role}'s turn")
        frame = self._checked_frame(checked, open_turn=False)
        self._check_answers(frame, tuple(message["role"] for message in checked))
        prompt: list[_Piece] = []
        completion: list[_Piece] = []
        for piece in self._pieces(frame, checked):
            if piece.message == last:
                completion.append(piece)
            elif not completion:
                prompt.append(piece)
        learned = {at for at, message in enumerate(checked) if message["supervised"]}
        tokens = list(self._tokens(prompt))
        return Rendered(
            "".join(piece.text for piece in prompt),
            "".join(piece.text for piece in completion),
            [token for token, _ in tokens],
            [token for token, _ in self._tokens(completion)],
            [message in learned for _, message in tokens],
        )

    def whole(self, messages: Sequence[Message]) -> str:
        """The text of a conversation, as the template renders it.

        Raises:
            UnusableMessagesError, TemplateError: see `render`.
        """
        checked = self._shown(check_messages(messages))
        frame = self._checked_frame(checked, open_turn=False)
        return "".join(
            part if isinstance(part, str) else checked[part]["content"] for part in frame
        )

    def render_answer(
        self, prompt: Sequence[Message] | None, answer: Sequence[Message] | None, name: str
    ) -> Rendered:
        """A prompt and one of the answers that a preference sets against each other.

        Args:
            name: of the answer, for messages.

        Raises:
            UnusableMessagesError: the answer is not one turn of the assistant, or a message is
                unusable.
            TemplateError: the template is at fault.
        """
        if not answer or len(answer) != 1 or answer[0].get("role") != "assistant":
            raise UnusableMessagesError("no_answer", f"{name} is not one turn of the assistant")
        return self.render([*(prompt or []), *answer])

    def _pieces(self, frame: Frame, messages: Sequence[Message]) -> Iterator[_Piece]:
        """Stretches of the conversation, in order; empty ones are left out."""
        speaking: int | None = None
        for part in frame:
            if isinstance(part, int):
                if messages[part]["role"] == "assistant":
                    speaking = part
                if messages[part]["content"]:
                    yield _Piece(messages[part]["content"], None, speaking)
                continue
            done = 0
            for found in self._special.finditer(part):
                if found.start() > done:
                    yield _Piece(part[done : found.start()], None, speaking)
                yield _Piece(found[0], self._specials[found[0]], speaking)
                done = found.end()
                if found[0] == self.turn_end:
                    speaking = None
            if part[done:]:
                yield _Piece(part[done:], None, speaking)

    def _tokens(self, pieces: Iterable[_Piece]) -> Iterator[tuple[int, int | None]]:
        """(token, the answer it belongs to); text is tokenised over the bounds of messages, but
        not over the beginning of an answer."""
        waiting, answer = "", None
        for piece in pieces:
            if waiting and (piece.special is not None or piece.message != answer):
                yield from ((token, answer) for token in self.text(waiting))
                waiting = ""
            answer = piece.message
            if piece.special is None:
                waiting += piece.text
            else:
                yield piece.special, answer
        yield from ((token, answer) for token in self.text(waiting))

    def _shown(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Messages as the template shows them: some leave white space around a text out."""
        if not self._trims:
            return messages
        return [{**message, "content": message["content"].strip()} for message in messages]

    def _checked_frame(self, messages: Sequence[Message], open_turn: bool) -> Frame:
        """The frame of a conversation whose messages the template shows as they are."""
        frame = self._frame(tuple(message["role"] for message in messages), open_turn)
        contents = [message["content"] for message in messages]
        expected = "".join(part if isinstance(part, str) else contents[part] for part in frame)
        found = self._template(zip([m["role"] for m in messages], contents, strict=True), open_turn)
        if found != expected:
            raise TemplateError(
                "the chat template changes what messages say, or their frame with it: expected "
                f"{expected[-60:]!r}, rendered {found[-60:]!r}. Correct chat_template.jinja"
            )
        return frame

    def _frame_of(self, roles: tuple[str, ...], open_turn: bool) -> Frame:
        parts = show_places(self._template, roles, open_turn)
        if parts[1::2] != list(range(len(roles))):
            raise TemplateError(
                f"the chat template shows the messages {parts[1::2]} of {len(roles)}; each is to "
                "be shown once and in order. Correct chat_template.jinja"
            )
        return tuple(part for part in parts if part != "")

    def _check_answers(self, frame: Frame, roles: tuple[str, ...]) -> None:
        """Every answer follows the prompt the model gets before it speaks, and ends its turn."""
        for place, role in enumerate(roles):
            if role != "assistant":
                continue
            at = frame.index(place)
            before = frame[:at]
            # Nothing is asked before the first message; transformers renders no empty prompt.
            alone = self._frame(roles[:place], True) if place else before
            if alone != before:
                raise TemplateError(
                    "the chat template renders a prompt otherwise once an answer follows: alone "
                    f"it ends {_format_frame(alone)!r}, with the answer it begins "
                    f"{_format_frame(before)!r}. "
                    "The model would learn from prompts it never gets; correct chat_template.jinja"
                )
            behind = frame[at + 1] if at + 1 < len(frame) else ""
            if not isinstance(behind, str) or self.end < 0 or self.turn_end not in behind:
                raise TemplateError(
                    f"the chat template does not end an answer with {self.turn_end}: behind it "
                    f"comes {behind!r}; the model would never learn to stop. Correct "
                    "chat_template.jinja"
                )

    def _template(self, messages: Iterable[tuple[str, str]], open_turn: bool) -> str:
        if self.tokenizer.chat_template is None:
            raise TemplateError(
                "the model has no chat template, so nothing says how its turns look; give one as "
                "chat_template.jinja beside it, or, where it is brought from elsewhere, as "
                "sft.chat_template"
            )
        conversation = [{"role": role, "content": content} for role, content in messages]
        try:
            text: str = self.tokenizer.apply_chat_template(
                conversation,
                tokenize=False,
                add_generation_prompt=open_turn,
                **({"strftime_now": fixed_date} if self.dated else {}),
            )
        except JinjaError as error:
            roles = ", ".join(message["role"] for message in conversation)
            raise TemplateError(
                f"the chat template refuses a conversation of {roles}: {error}. Correct "
                "chat_template.jinja, or leave such conversations out"
            ) from error
        return text


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found if isinstance(found, dict) else {}


def _generation_config(folder: Path) -> list[int]:
    """Ids at which generation stops, as far as a folder says it."""
    path = folder / "generation_config.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    ends = found.get("eos_token_id") if isinstance(found, dict) else None
    return list(ends) if isinstance(ends, list) else [] if ends is None else [ends]


def _format_frame(frame: Frame) -> str:
    return "".join(part if isinstance(part, str) else "…" for part in frame)[-60:]
