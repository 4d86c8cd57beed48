"""Config of rlhf: what answers are rewarded for, and how the model is tuned by it."""

from __future__ import annotations

from pydantic import Field, model_validator

from llm.alignment.methods.rlhf_run import Algorithm
from tasks.engine.config import execution
from tasks.stages.alignment import TuningConfig
from tasks.stages.answer_rewards import RewardSpec, asks_a_model, check_names


class RlhfConfig(TuningConfig):
    """How the model is tuned by rewards of its own answers."""

    algorithm: Algorithm = Field(
        "grpo",
        description="grpo: rewards less the mean of their prompt's, over their spread; rloo: less "
        "the mean of the prompt's others, the tie to the starting model within the reward.",
    )
    rewards: list[RewardSpec] = Field(
        [RewardSpec.model_construct(name="preferred", kind="model")],
        description="Parts of the reward, each under a name of its own; their weighted sum counts.",
        min_length=1,
    )
    prompt_files: list[str] = execution(
        [],
        "Files, folders or globs of prompts with answers, shaped as instructions are, instead of "
        "the instructions of examples: JSONL, JSON, CSV, TSV, Parquet; .gz, .zst.",
    )
    validation_fraction: float = Field(
        0.05, description="Share of prompts in files to hold out.", ge=0, le=0.5
    )
    split_seed: int = Field(
        0, description="Another seed draws other prompts of files to hold out.", ge=0
    )
    max_prompts: int = Field(
        0, description="Prompts learned from, at most, drawn at random; 0 = all.", ge=0
    )
    epochs: int = Field(1, description="Passes over the prompts.", ge=1, le=1_000)
    learning_rate: float = Field(
        1e-5,
        description="Highest learning rate; small models take 1e-4, large ones 1e-6.",
        gt=0.0,
        le=1.0,
    )
    batch_size: int = Field(64, description="Answers a step.", ge=2, le=65_536)
    samples: int = Field(
        8, description="Answers drawn to a prompt; must divide batch_size.", ge=2, le=1_024
    )
    new_tokens: int = Field(64, description="Longest answer, in tokens.", ge=1, le=1_048_576)
    temperature: float = Field(1.0, description="Answers are drawn at.", gt=0.0, le=10.0)
    beta: float = Field(
        0.04,
        description="Strength of the tie to the starting model; lower lets it drift further.",
        gt=0.0,
        le=100.0,
    )
    max_kl: float = Field(
        1.0,
        description="Nats a token that answers may diverge from the starting model, mean of ten "
        "steps; beyond it the stage fails.",
        gt=0.0,
        le=1e6,
    )
    samples_every: int = Field(
        25, description="Steps between those of which answers are kept to be read.", ge=1
    )
    held_out_prompts: int = Field(
        256, description="Validation prompts answered before and after, at most.", ge=0
    )
    micro_batch_size: int = execution(
        0,
        "Answers per forward pass of training; must divide batch_size; 0 = the whole batch.",
        ge=0,
        le=65_536,
    )

    @model_validator(mode="after")
    def _fits(self) -> RlhfConfig:
        if self.batch_size % self.samples:
            raise ValueError(
                f"samples: {self.samples} does not divide batch_size {self.batch_size}, which "
                "counts answers; take a divisor of it"
            )
        check_names(self.rewards)
        return self

    @property
    def asks_examples(self) -> bool:
        """Whether prompts are those of the stage `examples`."""
        return not self.prompt_files

    @property
    def asks_a_model(self) -> bool:
        """Whether a reward model is read."""
        return asks_a_model(self.rewards)
