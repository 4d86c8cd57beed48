"""Every stage there is, each after the stages it may read from: the one list of them."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.engine.stage.stage import Stage, registry
from tasks.stages import (
    annotate,
    clean,
    decontaminate,
    dedup,
    dpo,
    evaluate,
    examples,
    export,
    fetch,
    filter,
    index,
    judge,
    kto,
    mix,
    pack,
    pairs,
    pretrain,
    quality,
    report,
    reward,
    rlhf,
    sft,
    sites,
    source,
    tokenizer,
)

STAGES: Mapping[str, Stage] = registry(
    module.STAGE
    for module in (
        fetch,
        source,
        clean,
        sites,
        quality,
        annotate,
        filter,
        dedup,
        decontaminate,
        # Seconds of work, and what is wrong with files of examples is known before training.
        examples,
        tokenizer,
        pack,
        index,
        mix,
        pretrain,
        sft,
        reward,
        pairs,
        dpo,
        kto,
        rlhf,
        evaluate,
        judge,
        export,
        report,
    )
)
# Names of those that make a language model, in the order in which it goes through them.
MODEL_STAGES = tuple(name for name, stage in STAGES.items() if stage.makes_model)
