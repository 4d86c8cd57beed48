"""From the body of a request to what its model is asked, one request a choice."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from llm.model.sampling import Sampling, SamplingError
from llm.serving.api.bodies import ChatBody, ChatMessage, CompletionBody, GenerationBody
from llm.serving.api.errors import ApiError, bad_request
from llm.serving.api.limits import Limits
from llm.serving.request import Request
from llm.serving.served_model import ServedModel
from llm.tokens.chat import ChatEncoder, TemplateError

_OPENAI_COMPLETION_TOKENS = 16  # where `/v1/completions` is not told how many
_SEEDS = 2**63


def chat_requests(body: ChatBody, model: ServedModel, limits: Limits) -> list[Request]:
    """One request a choice.

    Raises:
        ApiError: a limit is passed, or the template refuses the conversation.
    """
    _check_limits(body, 1, limits)
    prompt = conversation(model.encoder, body.messages)
    return _requests(body, model, limits, [prompt], body.limit, body.runners_up, "messages")


def completion_requests(body: CompletionBody, model: ServedModel, limits: Limits) -> list[Request]:
    """One request a choice, those of the first prompt first.

    Raises:
        ApiError: a limit is passed, or a prompt has ids that are none.
    """
    prompts = body.prompts
    if not prompts:
        raise bad_request("prompt: give at least one", "prompt")
    _check_limits(body, len(prompts), limits)
    ids = [_prompt(model.encoder, prompt) for prompt in prompts]
    wanted = _OPENAI_COMPLETION_TOKENS if body.max_tokens is None else body.max_tokens
    return _requests(body, model, limits, ids, wanted, body.logprobs, "prompt")


def conversation(encoder: ChatEncoder, messages: Sequence[ChatMessage]) -> list[int]:
    """Ids of a conversation up to where the assistant begins to speak; what a message says is
    text, also where it spells out a special token.

    Raises:
        ApiError: the template refuses it.
    """
    try:
        return encoder.prompt([message.as_turn() for message in messages])
    except TemplateError as error:
        raise bad_request(str(error), "messages") from error


def _check_limits(body: GenerationBody, prompts: int, limits: Limits) -> None:
    choices = prompts * (body.n or 1)
    if choices > limits.choices:
        raise bad_request(f"{choices} answers in one request; {limits.choices} are allowed", "n")
    if len(body.stops) > limits.stops:
        raise bad_request(f"{len(body.stops)} stops; {limits.stops} are allowed", "stop")


def _prompt(encoder: ChatEncoder, prompt: str | list[int]) -> list[int]:
    if isinstance(prompt, str):
        # A text begins behind the end of the one before it, as in training.
        return encoder.text(prompt) or [encoder.text_end]
    size = len(encoder.tokenizer)
    beyond = next((token for token in prompt if token >= size), None)
    if beyond is not None:
        raise bad_request(f"prompt: {beyond} is no token; there are {size:,}", "prompt")
    return prompt


def _requests(
    body: GenerationBody,
    model: ServedModel,
    limits: Limits,
    prompts: Sequence[Sequence[int]],
    wanted: int | None,
    runners_up: int | None,
    field: str,
) -> list[Request]:
    for prompt in prompts:
        if len(prompt) >= model.context:
            raise too_long(
                f"{len(prompt):,} tokens leave no room for an answer in a context of "
                f"{model.context:,}",
                field,
            )
    count = body.n or 1
    seed = secrets.randbelow(_SEEDS) if body.seed is None else body.seed
    tokens = limits.tokens if wanted is None else min(wanted, limits.tokens)
    sampling = _sampling(body, len(model.encoder.tokenizer), seed)
    return [
        Request(
            prompt=tuple(prompt),
            max_new_tokens=min(tokens, model.context - len(prompt)),
            sampling=sampling,
            stop_texts=body.stops,
            top_logprobs=runners_up,
            stream=at,
        )
        for prompt in prompts
        for at in range(count)
    ]


def too_long(message: str, field: str) -> ApiError:
    """A prompt that fills the context."""
    return ApiError(400, message, "context_length_exceeded", field)


def _sampling(body: GenerationBody, vocabulary: int, seed: int) -> Sampling:
    """Fields that are left out are OpenAI's defaults, and nothing of those that are not its."""
    bias = tuple((int(token), value) for token, value in (body.logit_bias or {}).items())
    beyond = next((token for token, _ in bias if token >= vocabulary), None)
    if beyond is not None:
        raise bad_request(
            f"logit_bias: {beyond} is no token; there are {vocabulary:,}", "logit_bias"
        )
    try:
        return Sampling(
            temperature=_or(body.temperature, 1.0),
            top_k=body.top_k or 0,
            top_p=_or(body.top_p, 1.0),
            min_p=_or(body.min_p, 0.0),
            repetition_penalty=_or(body.repetition_penalty, 1.0),
            presence_penalty=_or(body.presence_penalty, 0.0),
            frequency_penalty=_or(body.frequency_penalty, 0.0),
            logit_bias=bias,
            seed=seed,
        )
    except SamplingError as error:
        raise bad_request(str(error)) from error


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
