"""Which models a comparison is about, from what a person types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.comparison.contenders import STAGE, Contender, contender
from tasks.contenders.graded import with_grades
from tasks.contenders.of_folder import Measure, is_model, measured_like
from tasks.engine.errors import MissingInputError
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import current, published
from tasks.engine.store.store import Store
from tasks.recipe import recipe_name
from tasks.registry import STAGES

PROD = "prod"
_MANIFEST = "manifest.json"
# How models are named, for help texts: without square brackets, which are markup there.
NAMES = (
    "a recipe, recipe@channel, stage/id or stage/id/attempt (of evaluate or of a model), the path "
    "of a manifest, or a folder with a model that transformers loads; :model behind it chooses one "
    "of an evaluation's models, else the last of its recipe"
)


@dataclass(frozen=True)
class _Named:
    """What a name means: an artifact and one of its models, or a folder with a model."""

    name: str
    found: Artifact | Path
    model: str = ""


def contenders(store: Store, names: Sequence[str], measure: Measure) -> list[Contender]:
    """The models named, see `NAMES`.

    Args:
        measure: evaluates a folder, on what the first of the others was evaluated on.

    Raises:
        MissingInputError: one is not built or was never evaluated; or all are folders.
        RecipeError: it is none of the forms.
    """
    named = [_named(store, name) for name in names]
    found = {
        place: with_grades(contender(each.name, each.found, each.model))
        for place, each in enumerate(named)
        if isinstance(each.found, Artifact)
    }
    first = next(iter(found.values()), None)
    for place, each in enumerate(named):
        if isinstance(each.found, Path):
            if first is None:
                raise MissingInputError(
                    f"{each.name}: a folder is measured on the items of another model's "
                    "evaluation; name a recipe or an evaluation beside it"
                )
            found[place] = measured_like(each.name, each.found, first.evaluation, measure)
    return [found[place] for place in range(len(named))]


def of_channel(store: Store, recipe: str, channel: str, model: str = "") -> Contender:
    """A model of the evaluation that a channel of a recipe means.

    Raises:
        MissingInputError: there is none.
    """
    shown = recipe if channel == channels.LATEST else f"{recipe}@{channel}"
    return with_grades(contender(shown, _of_channel(store, recipe, channel), model))


def _named(store: Store, name: str) -> _Named:
    place, colon, model = name.partition(":")
    path = Path(place).expanduser()
    if is_model(path) and not (path / _MANIFEST).is_file():
        if colon:
            raise MissingInputError(f"{name}: {place} holds one model; leave out :{model}")
        return _Named(place, path.resolve())
    if _is_path(path, place):
        return _Named(place, _at_path(path), model)
    stage, slash, rest = place.partition("/")
    if slash and stage in STAGES:
        return _Named(place, _by_id(store, place, stage, rest), model)
    recipe, _, channel = place.partition("@")
    return _Named(place, _of_channel(store, recipe, channel or channels.LATEST), model)


def _of_channel(store: Store, recipe: str, channel: str) -> Artifact:
    found = channels.resolve(store, recipe_name(recipe), STAGE, channel)
    if found is None:
        way = f"run `ingot run --recipe {recipe}`"
        if channel != channels.LATEST:
            way = f"`ingot promote {channel} --recipe {recipe}` sets it to what was built last"
        raise MissingInputError(f"recipe {recipe!r} has no {STAGE} as {channel!r} yet; {way}")
    return found


def _by_id(store: Store, name: str, stage: str, rest: str) -> Artifact:
    build, _, attempt = rest.partition("/")
    found = published(store, stage, build, attempt) if attempt else current(store, stage, build)
    if found is None:
        raise MissingInputError(
            f"no artifact {name!r} in {store.url}; `ingot why {stage}` shows the id of the last"
        )
    return found


def _is_path(path: Path, written: str) -> bool:
    """Whether a manifest or a folder is meant; a recipe may be called like a folder here."""
    if path.name == _MANIFEST:
        return True
    try:
        return (path / _MANIFEST).is_file() or (path.is_dir() and "/" in written)
    except OSError:  # a name no file can have
        return False


def _at_path(path: Path) -> Artifact:
    """The artifact whose manifest, or the folder of one, this is; of whatever home."""
    folder = (path.parent if path.name == _MANIFEST else path).resolve()
    if not (folder / _MANIFEST).is_file():
        raise MissingInputError(
            f"{path}: neither the {_MANIFEST} of an artifact nor the config.json of a model is "
            "there; name the folder of one, or a recipe"
        )
    attempt, build, stage = folder.name, folder.parent.name, folder.parent.parent.name
    if folder.parents[2].name != "artifacts":
        raise MissingInputError(
            f"{path}: not in the folder of an artifact, HOME/artifacts/STAGE/ID/ATTEMPT"
        )
    found = published(Store(str(folder.parents[3])), stage, build, attempt)
    if found is None:
        raise MissingInputError(f"{path}: no published artifact")
    return found
