"""Every stage there is, each after the stages it may read from."""

from __future__ import annotations

from collections.abc import Mapping

from tasks import (
    annotate,
    clean,
    decontaminate,
    dedup,
    dpo,
    evaluate,
    examples,
    export,
    filter,  # noqa: A004 - the stage is called so
    pack,
    pretrain,
    quality,
    report,
    sft,
    source,
    tokenizer,
)
from tasks.engine.stage import Stage

STAGES: Mapping[str, Stage] = {
    module.STAGE.name: module.STAGE
    for module in (
        source,
        clean,
        quality,
        annotate,
        filter,
        dedup,
        decontaminate,
        # Seconds of work, and what is wrong with files of examples is known before training.
        examples,
        tokenizer,
        pack,
        pretrain,
        sft,
        dpo,
        evaluate,
        export,
        report,
    )
}
