"""How the next token is chosen (stand-in)."""

from __future__ import annotations

from dataclasses import dataclass

from llm.model.generation import SamplingError as SamplingError


@dataclass(frozen=True)
class Sampling:
    temperature: float
    top_k: int
    top_p: float
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int = 0
