"""A judge behind an endpoint that speaks OpenAI's chat completions.

What passes by itself is waited for: too many requests, a server's error, a connection that breaks.
Waits double and are drawn at random from their upper half, so that many callers do not come back
at once; where the server says when to come back (Retry-After, RFC 9110 section 10.2.3) that is
when.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from llm.errors import ExpectedError

_PASSES = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_LONGEST_WAIT = 60.0
_NEWER_LIMIT = "max_completion_tokens"
# An error about that field: OpenAI's `param`, or the name in quotes.
_TEMPERATURE = re.compile(r"""["'`]temperature["'`]""")
_TOLD = 500  # characters of a reply that a message repeats


class JudgeUnreachableError(ExpectedError, ConnectionError):
    """The endpoint does not answer, or says that it cannot now, after all tries; names it."""


class JudgeKeyError(ExpectedError, PermissionError):
    """The endpoint wants another key, or the variable that is to hold one is not set."""


class UnknownJudgeError(ExpectedError, LookupError):
    """The endpoint has no such model, or nothing at this address."""


class RefusedCallError(ExpectedError):
    """The endpoint refuses this one call (400, 413, 422); carries what it says."""


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        text: of the first choice; "" where there is none.
        problem: "" or why the text is no whole reply: `no_completion` (the body is none of the
            protocol; `text` is its beginning), `cut_off`.
        prompt_tokens, completion_tokens: as the endpoint counts; None where it does not.
    """

    text: str
    problem: str
    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True)
class JudgeSettings:
    """What a verdict depends on beside the texts.

    Attributes:
        model: as the endpoint calls it.
        max_reply_tokens: longest reply.
        temperature: 0 = the most probable reply.
    """

    model: str
    max_reply_tokens: int
    temperature: float


@dataclass(frozen=True)
class Access:
    """Where a judge is, and how patient to be with it: nothing a verdict depends on.

    Attributes:
        base_url: what `/chat/completions` is put behind, as in "https://api.openai.com/v1".
        key: "" where none is asked for.
        timeout: seconds a call may take.
        tries: of a call, the first one included.
        first_wait: seconds before the second try.
        longest_retry_after: seconds an endpoint may ask us to wait.
    """

    base_url: str
    key: str
    timeout: float
    tries: int
    first_wait: float
    longest_retry_after: float


class Endpoint:
    """Calls a judge; threads may share one."""

    def __init__(self, access: Access, settings: JudgeSettings) -> None:
        self._access, self._settings = access, settings
        self._url = access.base_url.rstrip("/") + "/chat/completions"
        headers = {"Authorization": f"Bearer {access.key}"} if access.key else {}
        self._client = httpx.Client(headers=headers, timeout=access.timeout)
        self._stopped = threading.Event()
        # Newer models know the limit by another name alone, and some have but one temperature.
        self._limit, self._has_temperature = "max_tokens", True

    def stop(self) -> None:
        """Whoever waits for another try gives up."""
        self._stopped.set()

    def close(self) -> None:
        """No more calls."""
        self._client.close()

    def ask(self, messages: Sequence[Mapping[str, str]]) -> Reply:
        """One reply.

        Raises:
            JudgeUnreachableError, JudgeKeyError, UnknownJudgeError: no call can succeed.
            RefusedCallError: this one cannot.
        """
        for attempt in range(1, self._access.tries + 1):
            after: float | None = None
            try:
                response = self._post(messages)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if response.status_code not in _PASSES:
                    return self._reply(response)
                problem = f"{response.status_code}: {self._said(response)}"
                after = retry_after(response.headers.get("Retry-After", ""))
            if attempt < self._access.tries:
                self._wait(attempt, after, problem)
        raise JudgeUnreachableError(
            f"the judge at {self._url} did not answer in {self._access.tries} tries (last: "
            f"{self.without_key(problem)}). Verdicts so far are kept: run again once it is up, or "
            "correct judge.base_url"
        )

    def _post(self, messages: Sequence[Mapping[str, str]]) -> httpx.Response:
        """A call, made once more where the endpoint wants a field otherwise."""
        while True:
            limit, tempered = self._limit, self._has_temperature
            body: dict[str, Any] = {"model": self._settings.model, "messages": list(messages)}
            body[limit] = self._settings.max_reply_tokens
            if tempered:
                body["temperature"] = self._settings.temperature
            response = self._client.post(self._url, json=body)
            if response.status_code not in (400, 422):
                return response
            if limit == "max_tokens" and _NEWER_LIMIT in response.text:
                self._limit = _NEWER_LIMIT
            elif tempered and _TEMPERATURE.search(response.text):
                self._has_temperature = False
            else:
                return response

    def _wait(self, attempt: int, after: float | None, problem: str) -> None:
        if after is not None and after > self._access.longest_retry_after:
            raise JudgeUnreachableError(
                f"the judge at {self._url} asks to come back in {after:.0f} s ("
                f"{self.without_key(problem)}), longer than judge.longest_retry_after = "
                f"{self._access.longest_retry_after:.0f}. Verdicts so far are kept: run again later"
            )
        longest = min(_LONGEST_WAIT, self._access.first_wait * 2 ** (attempt - 1))
        seconds = random.uniform(longest / 2, longest) if after is None else after
        if self._stopped.wait(seconds):
            raise JudgeUnreachableError(f"the judge at {self._url} is no longer asked")

    def _reply(self, response: httpx.Response) -> Reply:
        status, said = response.status_code, self._said(response)
        if status in (401, 403):
            raise JudgeKeyError(
                f"the judge at {self._url} refuses the key ({status}: {said}); set the variable "
                "that judge.key_variable names to one it takes"
            )
        if status == 404:
            raise UnknownJudgeError(
                f"the judge at {self._url} knows no model {self._settings.model!r}, or nothing is "
                f"at that address (404: {said}); correct judge.model, or judge.base_url, which "
                "mostly ends with /v1"
            )
        if status in (400, 413, 422):
            raise RefusedCallError(f"{status}: {said}")
        if status != 200:
            raise JudgeUnreachableError(
                f"the judge at {self._url} answers {status}: {said}; correct judge.base_url"
            )
        try:
            return _completion(response.json())
        except (ValueError, LookupError, TypeError):
            return Reply(said, "no_completion", None, None)

    def _said(self, response: httpx.Response) -> str:
        return self.without_key(" ".join(response.text.split()))[:_TOLD]

    def without_key(self, text: str) -> str:
        """A text in which the key, should an endpoint repeat it, is not to be read."""
        return text.replace(self._access.key, "***") if self._access.key else text


def retry_after(value: str) -> float | None:
    """Seconds to wait by a Retry-After header: a number or a date; None where it is neither."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if seconds < float("inf") else None


def _completion(body: Any) -> Reply:
    choice = body["choices"][0]
    text = choice["message"]["content"]
    if not isinstance(text, str):
        raise TypeError("no text")
    usage = body.get("usage") or {}
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    known = [count if isinstance(count, int) else None for count in counts]
    return Reply(text, "cut_off" if choice.get("finish_reason") == "length" else "", *known)
