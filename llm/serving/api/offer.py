"""The models of a server, by the names that requests call them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm.serving.api.errors import ApiError
from llm.serving.served_model import ServedModel


@dataclass(frozen=True)
class Offer:
    """
    Attributes:
        fingerprint: differs between models whose weights, or what is kept of them, differ.
    """

    model: ServedModel
    fingerprint: str

    @property
    def record(self) -> dict[str, Any]:
        """What `/v1/models` says of it; `max_model_len`, its context in tokens, is vLLM's name."""
        return {
            "id": self.model.name,
            "object": "model",
            "created": self.model.created,
            "owned_by": "ingot",
            "max_model_len": self.model.context,
        }


def find(offers: Mapping[str, Offer], name: str) -> Offer:
    """
    Raises:
        ApiError: there is no model of that name.
    """
    if name not in offers:
        known = ", ".join(offers)
        raise ApiError(
            404, f"there is no model {name!r}; there are {known}", "model_not_found", "model"
        )
    return offers[name]
