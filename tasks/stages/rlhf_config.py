"""Config of rlhf: what answers are rewarded for, and how the model is tuned by it."""

from __future__ import annotations

from pydantic import Field, model_validator

from llm.alignment.methods.rlhf_run import Algorithm
from llm.alignment.rewards.rollout import RewardSettingError
from llm.alignment.rewards.rules import Kind, PartSettings, rule
from tasks.engine.config import Part, execution
from tasks.stages.alignment import TuningConfig


class RewardSpec(Part):
    """One part of the reward; what its kind does not need is not read."""

    name: str = Field(
        description="Under which it is shown.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        max_length=64,
    )
    kind: Kind = Field(
        description="model: of the stage reward; exact, number (behind ####), letter: as the "
        "expected answer; pattern: found in the answer; form: all of the answer; json_schema; "
        "code: a program that passes the expected answer's assertions; length."
    )
    weight: float = Field(1.0, description="In the sum of all parts.", ge=-1e6, le=1e6)
    expression: str = Field("", description="pattern, form: a regular expression of Python.")
    structure: str = Field("", description="json_schema: a JSON Schema, as JSON.")
    minimum: int = Field(0, description="length: fewest tokens of full reward.", ge=0, le=1_048_576)
    maximum: int = Field(
        64,
        description="length: most tokens of full reward; none is left at twice as many.",
        ge=1,
        le=1_048_576,
    )
    seconds: float = Field(5.0, description="code: a program may take.", gt=0.0, le=600.0)
    memory_mb: int = Field(
        512, description="code: megabytes of address space a program may have.", ge=64, le=65_536
    )

    @model_validator(mode="after")
    def _means_something(self) -> RewardSpec:
        if self.kind != "model":
            try:
                rule(PartSettings(**self.model_dump()))
            except RewardSettingError as error:
                raise ValueError(f"reward {self.name!r}: {error}") from error
        return self


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
        names = [part.name for part in self.rewards]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rewards need names of their own; given twice: {', '.join(twice)}")
        return self

    @property
    def asks_examples(self) -> bool:
        """Whether prompts are those of the stage `examples`."""
        return not self.prompt_files

    @property
    def asks_a_model(self) -> bool:
        """Whether a reward model is read."""
        return any(part.kind == "model" for part in self.rewards)
