"""A tuning run as Axolotl is told it (its config schema of 0.19).

Paths are relative to the folder of the config. What one precision, one batch or one rate means is
the same in both programs; which rows share a batch is not.
"""

from __future__ import annotations

from typing import Any

from llm.alignment.run_file import Lora, Run
from llm.errors import ExpectedError

MODEL, TUNED, TRAIN_ROWS, VALIDATION_ROWS = "model", "tuned", "train.jsonl", "validation.jsonl"
_SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}
_BF16: dict[str, bool | str] = {"auto": "auto", "bf16": True, "fp32": False}


class HandoverError(ExpectedError, ValueError):
    """A run cannot be told to another program; says which, and why."""


def axolotl_config(
    run: Run, sequence_tokens: int, turn_end: str, with_validation: bool
) -> dict[str, Any]:
    """Axolotl's config of a run.

    Args:
        sequence_tokens: longest row.
        turn_end: the token that ends a turn.
        with_validation: whether there are validation rows.

    Raises:
        HandoverError: Axolotl knows no such method.
    """
    micro = run.micro_batch_size or run.batch_size
    shared: dict[str, Any] = {
        "base_model": f"./{MODEL}",
        "output_dir": f"./{TUNED}",
        "dataset_prepared_path": "./prepared",
        "chat_template": "tokenizer_default",
        "eot_tokens": [turn_end],
        "sequence_len": sequence_tokens,
        "excess_length_strategy": "truncate" if run.cut else "drop",
        "num_epochs": run.epochs,
        "micro_batch_size": micro,
        "gradient_accumulation_steps": run.batch_size // micro,
        "optimizer": "adamw_torch",
        "adam_beta1": run.adam_beta1,
        "adam_beta2": run.adam_beta2,
        "weight_decay": run.weight_decay,
        "max_grad_norm": run.gradient_clip,
        "learning_rate": run.learning_rate,
        "lr_scheduler": _SCHEDULES[run.schedule],
        "warmup_ratio": run.warmup_share,
        "bf16": _BF16[run.precision],
        "seed": run.seed,
        "logging_steps": 1,
        "save_strategy": "epoch",
        "save_total_limit": 1,
    }
    own = run.axolotl()
    if own is None:
        raise HandoverError(f"{run.method} cannot be handed to Axolotl")
    rows = own.pop("rows")
    files = {"datasets": TRAIN_ROWS}
    if with_validation:
        files["test_datasets"] = VALIDATION_ROWS
    for name, file in files.items():
        own[name] = [{"path": f"./{file}", "ds_type": "json", "split": "train", **rows}]
    return shared | own | _adapters(run.lora)


def _adapters(lora: Lora | None) -> dict[str, Any]:
    """What is told of adapters; nothing where the model itself is trained."""
    if lora is None:
        return {}
    told = {
        "adapter": "lora",
        "lora_r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
    }
    if lora.targets == ("all-linear",):
        return told | {"lora_target_linear": True}
    return told | {"lora_target_modules": list(lora.targets)}
