"""Config of pairs: how a model answers, and what its answers are ranked by."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from llm.evaluation.judge.rubric import Criterion
from llm.training.run_file import CudaOrCpu
from tasks.engine.config import execution
from tasks.stages.answer_rewards import RewardSpec, asks_a_model, check_names
from tasks.stages.judge_access import JudgeAccessConfig

_JUDGE = "judge_"


class SampledPairsConfig(JudgeAccessConfig):
    """How a model answers prompts, and which of its answers are set against each other."""

    max_prompts: int = Field(
        0, description="Prompts answered at most, drawn at random; 0 = all.", ge=0
    )
    samples: int = Field(8, description="Answers to a prompt.", ge=2, le=1_024)
    new_tokens: int = Field(64, description="Longest answer, in tokens.", ge=1, le=1_048_576)
    temperature: float = Field(1.0, description="Answers are drawn at.", gt=0.0, le=10.0)
    top_p: float = Field(
        1.0, description="Only the most probable tokens of this share are drawn.", gt=0.0, le=1.0
    )
    max_length: int = Field(
        0,
        description="Longest prompt with its answer, in tokens; 0 = the model's context.",
        ge=0,
        le=1_048_576,
    )
    min_gap: float = Field(
        0.0,
        description="By which the best answer's reward has to exceed the worst one's; a prompt "
        "with less gives no pair. 0 = at all.",
        ge=0.0,
        le=1e6,
    )
    rewards: list[RewardSpec] = Field(
        [RewardSpec.model_construct(name="preferred", kind="model")],
        description="What answers are ranked by: the weighted sum of parts, each under a name of "
        "its own, and of the judge's grade; may be empty where there is one.",
    )
    judge_weight: float = Field(
        0.0,
        description="In the sum, of a language model's grade of an answer, 0 to 1; 0 = none is "
        "asked.",
        ge=-1e6,
        le=1e6,
    )
    judge_criterion: Criterion = Field("helpfulness", description="What the judge grades by.")
    judge_model: str = Field(
        "judge", description="The judge, as its endpoint calls it.", min_length=1, max_length=200
    )
    judge_max_reply_tokens: int = Field(
        400, description="Longest reply of the judge, in tokens.", ge=8, le=65_536
    )
    judge_temperature: float = Field(0.0, description="Of the judge's replies.", ge=0, le=2)
    seed: int = Field(
        0, description="Random seed of answers and of prompts drawn.", ge=0, le=2**31 - 1
    )
    score_tokens: int = execution(
        8_192, "Tokens per forward pass of the reward model.", ge=1, le=2**24
    )
    device: CudaOrCpu = execution("auto", "Where models run; auto takes a GPU if there is one.")
    threads: int = execution(0, "CPU threads; 0 = as torch chooses.", ge=0, le=1024)

    @model_validator(mode="after")
    def _ranks(self) -> Self:
        check_names(self.rewards)
        if not self.rewards and not self.judge_weight:
            raise ValueError(
                "rewards: there is nothing to rank answers by; give a part, or set judge_weight"
            )
        if self.judge_weight and any(part.name == "judge" for part in self.rewards):
            raise ValueError("rewards: the judge's grade is called judge; name the part otherwise")
        return self

    @property
    def asks_a_model(self) -> bool:
        """Whether a reward model is read."""
        return asks_a_model(self.rewards)

    def judge(self) -> dict[str, Any]:
        """What is told of the judge, as run.json holds it."""
        settings = self.model_dump(mode="json")
        told = {
            name.removeprefix(_JUDGE): value
            for name, value in settings.items()
            if name.startswith(_JUDGE)
        }
        return told | self.access()

    def drawing(self) -> dict[str, Any]:
        """All else that the run is told, as run.json holds it."""
        settings = self.model_dump(mode="json", exclude=set(JudgeAccessConfig.model_fields))
        return {name: value for name, value in settings.items() if not name.startswith(_JUDGE)}
