"""Fields of OpenAI's protocol that this server does not have.

A client may send them where they ask for nothing: null, or what OpenAI does without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm.serving.api.errors import unsupported

_TOOLS = "these models call no tools"
_TEXT = "these models read and write text alone"
_FREE = "answers are free text"
_STATELESS = "nothing is kept of a conversation"

# Field: (why not, values that ask for nothing besides null).
_BOTH: dict[str, tuple[str, tuple[Any, ...]]] = {
    "service_tier": ("there is one", ("auto", "default")),
    "metadata": (_STATELESS, ({},)),
    "store": (_STATELESS, (False,)),
}
CHAT = _BOTH | {
    "tools": (_TOOLS, ([],)),
    "tool_choice": (_TOOLS, ("none", "auto")),
    "parallel_tool_calls": (_TOOLS, (True, False)),
    "functions": (_TOOLS, ([],)),
    "function_call": (_TOOLS, ("none", "auto")),
    "response_format": (_FREE, ({"type": "text"},)),
    "modalities": (_TEXT, (["text"],)),
    "audio": (_TEXT, ()),
    "prediction": ("answers are not predicted", ()),
    "reasoning_effort": ("these models do not think before they answer", ("none",)),
    "verbosity": ("an answer is as long as the model makes it", ("medium",)),
    "web_search_options": ("nothing is searched", ()),
    "safety_identifier": (_STATELESS, ()),
    "prompt_cache_key": (_STATELESS, ()),
}
COMPLETION = _BOTH | {
    "echo": ("the prompt is not repeated", (False,)),
    "suffix": ("text is continued at its end", ("",)),
    "best_of": ("each answer is returned; ask for n", (1,)),
}
MESSAGE: dict[str, tuple[str, tuple[Any, ...]]] = {
    "name": ("the chat template has no place for it", ()),
    "tool_calls": (_TOOLS, ([],)),
    "tool_call_id": (_TOOLS, ()),
    "function_call": (_TOOLS, ()),
    "refusal": ("a refusal is an answer like another", ()),
    "audio": (_TEXT, ()),
    "annotations": ("answers have none", ([],)),
}


def without(
    record: Mapping[str, Any], fields: Mapping[str, tuple[str, tuple[Any, ...]]], at: str = ""
) -> dict[str, Any]:
    """The record less those of the fields that ask for nothing.

    Args:
        at: where the record lies in the body, for messages.

    Raises:
        ApiError: one of them asks for something.
    """
    kept = dict(record)
    for field, (why, neutral) in fields.items():
        value = kept.pop(field, None)
        # True is not 1 here.
        if value is not None and not any(
            type(value) is type(other) and value == other for other in neutral
        ):
            raise unsupported(at + field, why)
    return kept
