"""Options of how the next token is chosen, and how weights are kept, that commands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Temperature = Annotated[
    float, typer.Option(min=0.0, help="Sampling temperature; 0 = always the most likely token.")
]
TopK = Annotated[
    int, typer.Option(min=0, help="Draw from so many of the most likely tokens; 0 = all.")
]
TopP = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, help="Draw from the most likely tokens that hold this probability."
    ),
]
MinP = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, help="Draw from tokens at least this share as likely as the likeliest."
    ),
]
RepetitionPenalty = Annotated[
    float, typer.Option(help="Above 1: what was said before becomes less likely.")
]
PresencePenalty = Annotated[
    float, typer.Option(help="Taken from the logit of a token that is in the answer already.")
]
FrequencyPenalty = Annotated[
    float, typer.Option(help="The same for each time that it is in the answer.")
]
Seed = Annotated[int, typer.Option(help="Random seed for sampling.")]
NewTokens = Annotated[int, typer.Option(min=1, help="Maximum tokens per answer.")]
PrecisionOption = Annotated[
    Literal["fp32", "bf16", "int8"],
    typer.Option(help="How weights are kept; int8 reads a quarter of fp32's bytes at some loss."),
]
