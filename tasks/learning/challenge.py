"""Who is in use, what it has learned from, and the configs by which another goes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.engine.config import StageConfig
from tasks.engine.errors import IngotError
from tasks.engine.run.chain import chain
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.manifest import InputRecord
from tasks.engine.store.published import current, published
from tasks.engine.store.store import Store
from tasks.learn_section import LearnConfig
from tasks.recipe import Recipe
from tasks.registry import MODEL_STAGES, STAGES
from tasks.stages.pretrain_config import PretrainConfig
from tasks.stages.replay import ReplayConfig

PROD, CHAMPION = "prod", "champion"
REPLAY, PRETRAIN, PACK, EVALUATE = "replay", "pretrain", "pack", "evaluate"


class LearnError(IngotError):
    """A model in use cannot go on learning; says what is missing, and what makes it."""


@dataclass(frozen=True)
class Challenge:
    """What another model is made from, to be held against the one in use.

    Attributes:
        champion: the model in use, by the stage that made it.
        corpus: what is packed now; `learned`: what the champion has learned from.
        configs: of the challenger's recipe.
        kept: artifacts that it reads as they are: all that pretraining does not change.
    """

    recipe: Recipe
    config: LearnConfig
    champion: Mapping[str, Artifact]
    corpus: Artifact
    learned: Artifact
    configs: Mapping[str, StageConfig]
    kept: Mapping[str, Artifact]

    @property
    def name(self) -> str:
        """Under which the challenger's pointers are kept."""
        return f"{self.recipe.name}-challenger"

    @property
    def is_grown(self) -> bool:
        """Whether there are other rows than the champion has learned from."""
        now, then = (each.manifest.outputs["tokens"] for each in (self.corpus, self.learned))
        return now.data_id != then.data_id


def challenge(recipe: Recipe, store: Store) -> Challenge:
    """What goes on from the model in use.

    Raises:
        LearnError: the recipe lacks a stage it takes, nothing is promoted, something is not built
            or not in the store any more, or the corpus is made with another tokenizer.
    """
    for needed in (PACK, PRETRAIN, EVALUATE):
        if needed not in recipe.configs:
            raise LearnError(
                f"recipe {recipe.name!r} has no section {needed}: a model is pretrained, goes on "
                "with a packed corpus and is evaluated; add the section, or choose a recipe that "
                "has it"
            )
    config = recipe.learn or LearnConfig.model_validate({})
    trained = chain(STAGES, recipe.configs).descendants([PRETRAIN])
    models = [name for name in MODEL_STAGES if name in trained and name in recipe.configs]
    champion = {name: _promoted(recipe, store, name) for name in models}
    kept = {name: _latest(recipe, store, name) for name in recipe.configs if name not in trained}
    learned = _learned_from(store, champion[PRETRAIN])
    _require_same_tokenizer(kept, champion[PRETRAIN])
    corpus = kept[PACK]
    start = _named(store, f"{PRETRAIN}.resumable", champion[PRETRAIN])
    made: dict[str, StageConfig] = {
        REPLAY: ReplayConfig.model_validate(
            {
                "seen": _named(store, PACK, learned),
                "share": config.replay,
                "tokens": round(config.tokens * _from_scratch(recipe, corpus)),
            }
        ),
        PRETRAIN: _going_on(recipe, config, start),
        EVALUATE: recipe.configs[EVALUATE].model_copy(
            update={CHAMPION: _named(store, models[-1], champion[models[-1]])}
        ),
    }
    configs = {**recipe.configs, **made}
    return Challenge(recipe, config, champion, corpus, learned, configs, kept)


def training_stages(recipe: Recipe) -> set[str]:
    """The stages of a recipe that a refresh of its corpus leaves to the learning that follows; none
    where the recipe has no section `learn`."""
    if recipe.learn is None or PRETRAIN not in recipe.configs:
        return set()
    return chain(STAGES, recipe.configs).descendants([PRETRAIN])


def _promoted(recipe: Recipe, store: Store, stage: str) -> Artifact:
    found = channels.resolve(store, recipe.name, stage, PROD)
    if found is None:
        raise LearnError(
            f"recipe {recipe.name!r} has no {stage} as {PROD!r}, so there is no model to go on "
            f"from; `ingot promote {PROD}` says which one is in use"
        )
    return found


def _latest(recipe: Recipe, store: Store, stage: str) -> Artifact:
    found = channels.resolve(store, recipe.name, stage)
    if found is None:
        raise LearnError(
            f"{stage} of recipe {recipe.name!r} is not built; a refresh builds the corpus"
        )
    return found


def _learned_from(store: Store, model: Artifact) -> Artifact:
    """The packed corpus that a pretraining read, itself or by way of `replay`."""
    artifact = model
    while artifact.stage != PACK:
        record = artifact.manifest.inputs["sequences"]
        found = published(store, record.stage, record.build_id, record.attempt)
        if found is None:
            raise LearnError(
                f"{record.stage}/{record.build_id[:16]}/{record.attempt}, which the model in use "
                "has learned from, is not in the store any more, so nobody knows what is new to "
                f"it; train anew, or promote what was built last (`ingot promote {PROD}`)"
            )
        artifact = found
    return artifact


def _require_same_tokenizer(kept: Mapping[str, Artifact], model: Artifact) -> None:
    here: InputRecord = kept[PACK].manifest.inputs["tokenizer"]
    there = model.manifest.inputs["tokenizer"]
    if here.data_id != there.data_id:
        raise LearnError(
            "the corpus was packed with another tokenizer than the model in use has, so it cannot "
            "go on from there: keep that one while the corpus grows, or train anew"
        )


def _named(store: Store, what: str, artifact: Artifact) -> str:
    """The name by which a config means this artifact.

    Raises:
        LearnError: it was built again since: the name means the later attempt.
    """
    manifest = artifact.manifest
    now = current(store, manifest.stage, manifest.build_id)
    if now is None or now.folder != artifact.folder:
        raise LearnError(
            f"{artifact.folder} was built again since it was promoted, and only the last attempt "
            f"can be gone on from; promote it (`ingot promote {PROD}`)"
        )
    return f"{what}@{manifest.build_id}"


def _from_scratch(recipe: Recipe, corpus: Artifact) -> int:
    """Tokens that the recipe's own pretraining would take."""
    config = recipe.configs[PRETRAIN]
    assert isinstance(config, PretrainConfig)
    rows = int(corpus.facts["splits"]["train"]["rows"])
    return config.tokens or rows * int(corpus.manifest.config["sequence_length"])


def _going_on(recipe: Recipe, config: LearnConfig, start: str) -> PretrainConfig:
    """The recipe's pretraining, from where the champion's was before its learning rate fell."""
    before = recipe.configs[PRETRAIN]
    changes = {
        "continue_from": start,
        "size": "",  # its fields are written out
        "tokens": 0,  # once through what `replay` chose
        "decay_share": config.decay_share,
        "resumable": True,
    }
    return PretrainConfig.model_validate(before.model_dump() | changes)
