"""What deployments are called and tagged: a list of them sorts as the chain does.

Prefect's pages sort deployments by name, ten to a page. So those of whole chains begin with 00,
and that of a stage with the stage's place in the registry.
"""

from __future__ import annotations

from collections.abc import Iterable

from tasks.registry import STAGES

# Of every deployment of ours; another tag says which part of the chain it is of.
TAG = "ingot"
CHAIN = "whole chain"
# Each part of the chain by the stage it begins with.
_PARTS = {"fetch": "data", "pretrain": "training", "evaluate": "results"}


def deployment_name(stage: str, stages: Iterable[str] = STAGES) -> str:
    """The name of a stage's deployment, such as `08-dedup`.

    Args:
        stages: all there are, in the order of the chain.
    """
    return f"{list(stages).index(stage) + 1:02}-{stage}"


def part_of(stage: str, stages: Iterable[str] = STAGES) -> str:
    """The part of the chain a stage is of: data, training, results."""
    found = ""
    for name in stages:
        found = _PARTS.get(name, found)
        if name == stage:
            break
    return found
