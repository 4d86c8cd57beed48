"""Bodies of requests: OpenAI's fields that this server has, and a few of its own.

Types are strict: `"1"` is no number. A field nobody knows is refused rather than passed over, since
whoever sends it expects it to do something. Those of OpenAI's that are not supported are in
`unsupported.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

_Text = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
_Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
_Penalty = Annotated[float, Field(ge=-2, le=2)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class TextPart(_Strict):
    """A part of a message."""

    type: Literal["text"]
    text: str


class ChatMessage(_Strict):
    """A turn; `developer` is OpenAI's newer name of `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None

    @field_validator("content")
    @classmethod
    def _said(cls, value: Any, info: ValidationInfo) -> Any:
        """OpenAI's own answers may have null in place of a text."""
        if value is None and info.data.get("role") != "assistant":
            raise ValueError("only an assistant's may be null")
        return value

    def as_turn(self) -> dict[str, str]:
        """The turn as the chat template takes it."""
        content = self.content
        if not isinstance(content, str):
            content = "".join(part.text for part in content or ())
        return {"role": "system" if self.role == "developer" else self.role, "content": content}


class StreamOptions(_Strict):
    """What is told besides the answer."""

    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class GenerationBody(_Strict):
    """What both kinds of completion take.

    Attributes:
        top_k, min_p, repetition_penalty: not OpenAI's; 0, 0 and 1 do nothing.
    """

    model: str
    max_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: _Text | list[_Text] | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    logit_bias: (
        Annotated[
            dict[
                Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")],
                Annotated[float, Field(ge=-100, le=100)],
            ],
            Field(max_length=1_024),
        ]
        | None
    ) = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None
    user: str | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the counts of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    @model_validator(mode="after")
    def _check_stream_options(self) -> GenerationBody:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options belong to stream: true")
        return self


class ChatBody(GenerationBody):
    """`/v1/chat/completions`."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @model_validator(mode="after")
    def _check_logprobs(self) -> ChatBody:
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs belong to logprobs: true")
        return self

    @property
    def runners_up(self) -> int | None:
        """How many tokens are told beside each one; none where no log-probability is."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def limit(self) -> int | None:
        """The most tokens of an answer; the newer name goes before the older."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class CompletionBody(GenerationBody):
    """`/v1/completions`; a prompt is text or ids."""

    prompt: str | list[str] | _Ids | list[_Ids]
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @field_validator("prompt", mode="wrap")
    @classmethod
    def _of_one_kind(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        """One fault, instead of one for each kind that it is not."""
        try:
            return check(value)
        except ValidationError as error:
            raise ValueError(
                "is neither a text, nor texts, nor ids of tokens (whole numbers from 0 on, at "
                "least one), nor lists of such ids"
            ) from error

    @property
    def prompts(self) -> list[str | list[int]]:
        """One or more."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if prompt and isinstance(prompt[0], int):
            return [[token for token in prompt if isinstance(token, int)]]
        return [part for part in prompt if not isinstance(part, int)]


class AttributionBody(_Strict):
    """`/v1/attribution`, which is not OpenAI's."""

    text: str


class TokenizeBody(_Strict):
    """`/v1/tokenize`, which is not OpenAI's: text, or a conversation."""

    model: str | None = None
    text: str | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _check_one(self) -> TokenizeBody:
        if (self.text is None) == (self.messages is None):
            raise ValueError("give either text or messages")
        return self
