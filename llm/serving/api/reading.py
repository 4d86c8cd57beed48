"""From the bytes of a request to its body."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from llm.serving.api.bodies import AttributionBody, ChatBody, CompletionBody, TokenizeBody
from llm.serving.api.errors import ApiError, bad_request, invalid, unsupported
from llm.serving.api.unsupported import CHAT, COMPLETION, MESSAGE, without

_PATIENCE_SECONDS = 30.0
# Of a body that is too large this many times the limit is heard out, so that the client reads why
# it was refused instead of finding its connection gone.
_HEARD_OUT = 8

Body = TypeVar("Body", bound=BaseModel)


async def read_record(request: Request, max_bytes: int) -> dict[str, Any]:
    """The JSON object in a request.

    Raises:
        ApiError: there is none, or it is larger, or does not arrive.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # A page of another site may send text without being asked whether it may; JSON it may not.
        raise ApiError(
            415, "send JSON, with Content-Type: application/json", "unsupported_media_type"
        )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            data = await _read(request, max_bytes)
    except TimeoutError as error:
        raise ApiError(408, "the body did not arrive in time", "request_timeout") from error
    except ClientDisconnect as error:
        raise ApiError(400, "the body broke off", "invalid_json") from error
    try:
        record = from_json(data, allow_inf_nan=False, cache_strings="none")
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}", code="invalid_json") from error
    if not isinstance(record, dict):
        raise bad_request("the body is not a JSON object", code="invalid_json")
    return record


async def _read(request: Request, max_bytes: int) -> bytes:
    data, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size <= max_bytes:
            data += part
        elif size > _HEARD_OUT * max_bytes:
            break
    if size > max_bytes:
        raise ApiError(
            413, f"the body is larger than the {max_bytes:,} bytes allowed", "request_too_large"
        )
    return bytes(data)


def chat_body(record: Mapping[str, Any]) -> ChatBody:
    """
    Raises:
        ApiError: it is none; names the field.
    """
    kept = without(record, CHAT)
    kept["messages"] = _messages(kept.get("messages"))
    return _checked(ChatBody, kept)


def completion_body(record: Mapping[str, Any]) -> CompletionBody:
    """
    Raises:
        ApiError: it is none; names the field.
    """
    return _checked(CompletionBody, without(record, COMPLETION))


def attribution_body(record: Mapping[str, Any]) -> AttributionBody:
    """
    Raises:
        ApiError: it is none; names the field.
    """
    return _checked(AttributionBody, record)


def tokenize_body(record: Mapping[str, Any]) -> TokenizeBody:
    """
    Raises:
        ApiError: it is none; names the field.
    """
    kept = dict(record)
    if "messages" in kept:
        kept["messages"] = _messages(kept["messages"])
    return _checked(TokenizeBody, kept)


def _messages(messages: object) -> object:
    """Messages less what asks for nothing; what is no message is left for the body to refuse."""
    if not isinstance(messages, list):
        return messages
    return [_message(message, f"messages[{at}]") for at, message in enumerate(messages)]


def _message(message: object, at: str) -> object:
    if not isinstance(message, dict):
        return message
    if message.get("role") in ("tool", "function"):
        raise unsupported(f"{at}.role", "these models call no tools")
    content = message.get("content")
    for place, part in enumerate(content if isinstance(content, list) else ()):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind != "text":
            raise unsupported(
                f"{at}.content[{place}].type", "these models read and write text alone"
            )
    return without(message, MESSAGE, f"{at}.")


def _checked(kind: type[Body], record: Mapping[str, Any]) -> Body:
    try:
        return kind.model_validate(record)
    except ValidationError as error:
        raise invalid(error) from error
