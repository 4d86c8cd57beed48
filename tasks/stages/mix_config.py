"""The fields of `mix`: which mixtures are tried, with which models, and what is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field, model_validator

from llm.training.run_file import Device, Precision
from tasks.engine.config import Part, StageConfig, execution
from tasks.stages.pretrain_config import PretrainConfig

_AS_IN_PRETRAIN = (
    *("hidden_size", "layers", "heads", "key_value_heads", "tokens", "batch_tokens"),
    *("learning_rate", "precision", "seed", "device", "threads", "compile"),
)


class Importance(Part):
    """What bits per byte of a source count in the average."""

    source: str = Field(description="Name of a source.", min_length=1)
    importance: float = Field(description="Against 1 of each source not named.", ge=0.0, le=1e6)


class MixConfig(StageConfig):
    """Which mixtures are tried, with which models, and what is asked of the one proposed."""

    proxies: int = Field(16, description="Mixtures tried, one small model each.", ge=4, le=10_000)
    added: list[str] = Field(
        [],
        description="Sources that came later, in order: mixtures of the others stay as they were, "
        "so that models trained on them count on.",
    )
    proxies_per_added: int = Field(
        6, description="Further mixtures for each source that came later.", ge=1, le=10_000
    )
    importance: list[Importance] = Field(
        [], description="What each source counts in the average; those not named count 1."
    )
    target_tokens: int = Field(
        0,
        description="Tokens of the training the weights are for, repeats included; 0 = one pass "
        "over all sources.",
        ge=0,
    )
    max_epochs: float = Field(
        4.0, description="Times a source may be gone through in that training.", gt=0.0, le=1e6
    )
    held_out_bytes: int = Field(
        200_000,
        description="Validation text of each source that models are measured on.",
        ge=100,
        le=1_000_000_000,
    )
    hidden_size: int = Field(128, description="Width of a small model.", ge=16, le=65_536)
    layers: int = Field(4, description="Its blocks.", ge=1, le=512)
    heads: int = Field(4, description="Its query heads.", ge=1, le=512)
    key_value_heads: int = Field(2, description="Its key and value heads; divide heads.", ge=1)
    tokens: int = Field(2_000_000, description="Tokens that each is trained on.", ge=16)
    batch_tokens: int = Field(8_192, description="Tokens per optimiser step.", ge=16)
    learning_rate: float = Field(1e-2, description="At its peak.", gt=0.0, le=1.0)
    precision: Precision = Field(
        "auto", description="As in pretrain: bf16 where the device multiplies it, else fp32."
    )
    seed: int = Field(
        0,
        description="Random seed of mixtures, first weights and order of sequences; first weights "
        "and order are the same for all mixtures.",
        ge=0,
        le=2**63 - 1,
    )
    device: Device = execution("auto", "Where to train; auto takes a GPU if there is one.")
    at_once: int = execution(
        0, "Small models trained at a time; 0 = one a core, on a GPU one.", ge=0, le=1024
    )
    threads: int = execution(
        0, "CPU threads of each; 0 = cores shared out among them.", ge=0, le=1024
    )
    compile: bool = execution(False, "Compile the blocks: for runs of thousands of steps.")
    eval_batch_tokens: int = execution(
        16_384, "Tokens at a time where models are measured.", ge=1, le=2**30
    )

    @model_validator(mode="after")
    def _a_model(self) -> MixConfig:
        self.small_run()
        names = [each.source for each in self.importance]
        for field, given in (("importance", names), ("added", self.added)):
            if len(set(given)) < len(given):
                raise ValueError(f"{field}: a source is named twice; keep one each")
        return self

    def small_run(self) -> PretrainConfig:
        """The training of one of the small models, its mixture apart."""
        return PretrainConfig.model_validate(
            {
                **{name: getattr(self, name) for name in _AS_IN_PRETRAIN},
                "warmup_share": 0.1,
                "validation_rows": 0,
                "resumable": False,
                "checkpoint_seconds": 300.0,
            }
        )


def rows_by_source(config: MixConfig, by_source: bool) -> Iterator[str]:
    """Rows that do not say which source they are of."""
    if not by_source:
        yield "mix: needs rows of one source each; set pack.by_source=true"


def whole_sources(config: MixConfig, slices: Sequence[str]) -> Iterator[str]:
    """Slices, of which no text is held out by itself."""
    if slices:
        yield (
            f"mix: it searches mixtures of whole sources, and pack.slices cuts {slices[0]!r} out "
            "of one; remove the slices, or the section mix and weigh them in pretrain.mixture"
        )


def documents_held_out(config: MixConfig, validation_fraction: float) -> Iterator[str]:
    """Nothing to measure on."""
    if not validation_fraction:
        yield (
            "dedup.validation_fraction: 0 holds no document out, and mix measures small models on "
            "such; raise it, or remove the section mix"
        )


def sources_exist(config: MixConfig, sources: Sequence[str]) -> Iterator[str]:
    """Names in the config of sources that are not read."""
    for field, name in named_sources(config):
        if name not in sources:
            yield (f"{field}: {name!r} is none of source.sources, which are {', '.join(sources)}")


def named_sources(config: MixConfig) -> Iterator[tuple[str, str]]:
    """(field, source) for each that the config names."""
    for place, each in enumerate(config.importance):
        yield f"mix.importance.{place}.source", each.source
    for place, name in enumerate(config.added):
        yield f"mix.added.{place}", name
