"""How a judge is reached: an endpoint, its key, and how often it is asked."""

from __future__ import annotations

import os
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from tasks.engine.config import StageConfig, execution

# What run.json is told of it; the key comes by the environment, and a block sets that.
_TOLD = (
    "base_url",
    "key_variable",
    "timeout",
    "tries",
    "first_wait",
    "longest_retry_after",
    "concurrency",
    "max_calls",
)


class JudgeAccessConfig(StageConfig):
    """Of a stage that asks a language model for verdicts or grades."""

    base_url: Annotated[str, Field(pattern=r"^https?://[^/@?#\s]+(/[^@?#\s]*)?$")] = execution(
        "http://127.0.0.1:8000/v1",
        "Where the judge is: an endpoint that speaks OpenAI's chat completions.",
    )
    key_variable: Annotated[str, Field(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")] = execution(
        "", "Variable of the environment that holds the judge's key; empty = it asks for none."
    )
    key_block: str = execution(
        "", "Prefect Secret block to set that variable from; empty = it is set already."
    )
    concurrency: int = execution(4, "Calls of the judge under way at a time.", ge=1, le=256)
    timeout: float = execution(120.0, "Seconds a call of the judge may take.", gt=0, le=3_600)
    tries: int = execution(
        6, "Tries of a call that meets 429, 5xx or a broken connection.", ge=1, le=100
    )
    first_wait: float = execution(
        1.0, "Seconds before the second try; doubled each time.", ge=0, le=60
    )
    longest_retry_after: float = execution(
        300.0, "Seconds that the endpoint may ask us to wait.", ge=0, le=86_400
    )
    max_calls: int = execution(
        0, "More calls than these are not begun; 0 = any number.", ge=0, le=10_000_000
    )

    @model_validator(mode="after")
    def _block_for_a_variable(self) -> Self:
        if self.key_block and not self.key_variable:
            raise ValueError("key_block sets the variable that key_variable names; name one")
        return self

    def access(self) -> dict[str, Any]:
        """What a run is told of it."""
        return self.model_dump(mode="json", include=set(_TOLD))

    def missing_key(self) -> list[str]:
        """A line where the key is to be in this process's environment, and is not."""
        variable = self.key_variable
        if variable and not self.key_block and not self.pool and not os.environ.get(variable):
            return [f"the variable {variable} is not set"]
        return []
