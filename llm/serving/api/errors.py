"""What went wrong, as a status and the body that clients of OpenAI's protocol read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse

from llm.errors import ExpectedError

# Names pydantic puts into a path for the kinds of a union it has tried.
_KINDS = {"str", "int", "float", "bool"}


class ApiError(ExpectedError):
    """A request that gets no answer.

    Attributes:
        status: of HTTP.
        code: what it is, in a word, for programs.
        param: the field that is at fault, if one is.
        headers: of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """`{"error": {"message", "type", "param", "code"}}`."""
        return {
            "error": {
                "message": str(self),
                "type": _type(self.status),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, self.headers)


def _type(status: int) -> str:
    if status >= 500:
        return "server_error"
    return {401: "authentication_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error"
    )


def bad_request(message: str, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """A field that is wrong."""
    return ApiError(400, message, code, param)


def unsupported(field: str, why: str) -> ApiError:
    """A part of the protocol that this server does not have."""
    return ApiError(400, f"{field} is not supported: {why}", "unsupported_parameter", field)


def invalid(error: ValidationError) -> ApiError:
    """The fault of a body, of those that were found the one that lies deepest."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    fault = max(faults, key=lambda found: len(found["loc"]))
    param = _path(fault["loc"])
    if fault["type"] == "extra_forbidden":
        return ApiError(400, f"there is no field {param}", "unknown_parameter", param)
    told = fault["msg"].removeprefix("Value error, ")
    return bad_request(f"{param or 'the body'}: {told}", param)


def queue_full(message: str, retry_after: int) -> ApiError:
    """More requests than are kept waiting.

    Args:
        retry_after: seconds.
    """
    return ApiError(429, message, "queue_full", headers={"Retry-After": str(retry_after)})


def stopping() -> ApiError:
    """An answer that was broken off from this side."""
    return ApiError(503, "the server is stopping; send it again later", "server_stopping")


def failed() -> ApiError:
    """An answer that a fault of the model's thread broke off."""
    return ApiError(500, "the model broke; its log says why", "model_failed")


def _path(places: Sequence[int | str]) -> str | None:
    """`messages[0].content`."""
    path = ""
    for place in places:
        if isinstance(place, int):
            path += f"[{place}]"
        elif place not in _KINDS and place.isidentifier():
            path += f".{place}" if path else place
    return path or None
