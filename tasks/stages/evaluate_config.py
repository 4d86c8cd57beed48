"""The fields of `evaluate`: what is measured, and on how much."""

from __future__ import annotations

from pydantic import Field, model_validator

from llm.evaluation.run_file import Precision
from llm.training.run_file import CudaOrCpu
from tasks.engine.config import StageConfig, added, execution

PROMPT = "{{prompt}}"


class EvaluateConfig(StageConfig):
    """What is measured, and on how much."""

    validation_bytes: int = Field(
        250_000,
        description="Bytes of validation documents scored, from the first doc_id on.",
        ge=100,
        le=10_000_000_000,
    )
    max_instructions: int = Field(
        500, description="Validation instructions whose answers are scored.", ge=1, le=1_000_000
    )
    max_preferences: int = Field(
        500, description="Validation pairs whose two answers are scored.", ge=1, le=1_000_000
    )
    max_generated: int = Field(
        32,
        description="Validation prompts answered, to measure the length of answers; 0 = none.",
        ge=0,
        le=100_000,
    )
    prompts: list[str] = Field(
        [
            "What does numpy.linalg.norm do?",
            "What is a context manager?",
            "How do I read a CSV file with pandas?",
        ],
        description="Questions every model answers, for you to read.",
    )
    continuations: list[str] = Field(
        ["Return the", "This function", "Parameters\n"],
        description="Texts the base model continues, for you to read.",
    )
    new_tokens: int = Field(128, description="Longest answer, in tokens.", ge=1, le=65_536)
    tasks: list[str] = execution(
        [], "Benchmark tasks: files of settings, each beside the files of its records."
    )
    lm_eval_tasks: list[str] = added([], "Tasks, groups or tags that lm-eval has, by name.")
    lm_eval_files: list[str] = execution(
        [], "Tasks of lm-eval's kind: YAML files, each in a folder with all that it needs."
    )
    max_items: int = added(0, "Items of each task, the first ones; 0 = all.", ge=0, le=10_000_000)
    held_out_items: int = added(
        0,
        "Items of each of two tasks made from validation text: which sentence goes on, and which "
        "order of words is right; 0 = without them.",
        ge=0,
        le=100_000,
    )
    by_language: bool = added(False, "Bits per byte by language, too, where `annotate` knows it.")
    rolling: bool = added(False, "Bits per byte as lm-eval counts them, too.")
    safety_prompts: int = added(
        0,
        "Prompts of each kind (validation instructions, harmless, harmful) whose answers are "
        "searched for refusals and words of abuse; 0 = none.",
        ge=0,
        le=100_000,
    )
    harmless_prompts: list[str] = execution(
        [], "Files of prompts that no answer should refuse: JSON lines, a JSON list, or .txt."
    )
    harmless_prompt: str = added(
        PROMPT, "What is asked of a record of these: Jinja2 over its fields.", min_length=1
    )
    harmful_prompts: list[str] = execution([], "Files of prompts that an answer should refuse.")
    harmful_prompt: str = added(PROMPT, "What is asked of a record of these.", min_length=1)
    toxic_words: list[str] = execution(
        [], "Lists of words of abuse, an entry a line, beside the short one that Ingot has."
    )
    memorised_documents: int = added(
        0,
        "Training documents with an e-mail or IPv4 address whose first half a model goes on from, "
        "and as many of validation; 0 = none.",
        ge=0,
        le=100_000,
    )
    memorised_characters: int = added(
        600, "Characters of such a document at most, half of them a prompt.", ge=40, le=100_000
    )
    verbatim_prompts: int = added(
        0,
        "Validation prompts whose answers are looked up in `index`: how much of them stands word "
        "for word in training; 0 = none.",
        ge=0,
        le=100_000,
    )
    verbatim_tokens: int = added(
        32, "Tokens of the shortest stretch that counts for it.", ge=4, le=10_000
    )
    models: list[str] = execution(
        [], "Models of others to measure beside: folders or ids of the hub, NAME= before or not."
    )
    resamples: int = Field(
        1_000, description="Bootstrap resamples behind an interval.", ge=100, le=100_000
    )
    seed: int = Field(0, description="Random seed of the bootstrap.", ge=0, le=2**31 - 1)
    precision: Precision = Field(
        "fp32",
        description="bf16: matrix products in bfloat16, quicker on a GPU; scores shift a little.",
    )
    eval_batch_tokens: int = execution(
        8_192, "Tokens per forward pass, padding included; at most 2,048 on a CPU.", ge=1, le=2**24
    )
    device: CudaOrCpu = execution("auto", "Where to run; auto takes a GPU if there is one.")
    threads: int = execution(0, "CPU threads; 0 = whichever number is fastest.", ge=0, le=1024)

    @model_validator(mode="after")
    def _prompts_are_asked(self) -> EvaluateConfig:
        for field in ("harmless_prompts", "harmful_prompts", "toxic_words"):
            if getattr(self, field) and not self.safety_prompts:
                raise ValueError(
                    f"safety_prompts: 0 has no prompt answered, and {field} needs answers; "
                    f"raise it, or remove {field}"
                )
        return self
