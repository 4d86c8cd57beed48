"""`ingot serve`: models over OpenAI's protocol, with a page to chat with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Recipe
from flows.cli.results import Channel, _find_artifacts, _first_built
from llm.errors import ExpectedError
from llm.sha256 import sha256_file
from tasks.engine.store import channels
from tasks.registry import MODEL_STAGES, STAGES

_TOKEN = "INGOT_SERVE_TOKEN"
_PATIENCE_SECONDS = 30.0


class ServedModelsError(ExpectedError, ValueError):
    """What is to be served is not there, or has a name twice."""


@dataclass(frozen=True)
class _Choice:
    name: str
    folder: Path
    fingerprint: str


def serve(
    model: Annotated[
        list[str],
        typer.Option(
            help="NAME=STAGE or NAME=FOLDER, or either without NAME. May be repeated; without it "
            "all models of the recipe are served."
        ),
    ] = [],  # noqa: B006 - Typer reads the default, nobody writes it
    recipe: Recipe = "quickstart",
    channel: Channel = channels.LATEST,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port to listen at; 0 = one that is free.")
    ] = 8000,
    token: Annotated[
        str,
        typer.Option(
            envvar=_TOKEN,
            show_envvar=True,
            help="What clients send as their API key. Needed where HOST is not this machine alone; "
            "others on it see a command's options, but not its environment.",
        ),
    ] = "",
    places: Annotated[
        int, typer.Option(min=1, help="Answers of one model that are made at the same time.")
    ] = 16,
    queue: Annotated[
        int, typer.Option(min=0, help="Requests that wait for a place; further ones are refused.")
    ] = 128,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens of an answer at most, whatever is asked for.")
    ] = 4096,
    max_choices: Annotated[
        int, typer.Option(min=1, help="Answers to one request at most: n times its prompts.")
    ] = 16,
    max_body: Annotated[
        int, typer.Option(min=1_000, help="Size of a request in bytes at most.")
    ] = 1_000_000,
) -> None:
    """Serve models over OpenAI's protocol, and a page to chat with them.

    Ends at Ctrl-C or SIGTERM, with the answers under way.
    """
    from llm.serving.api.server import address_of, check_token, listen

    check_token(host, token or None)
    chosen = _choose(model, recipe, channel)
    bound = listen(host, port)  # before models are loaded: what cannot be is told at once
    from llm.serving.api import server
    from llm.serving.api.app import make_app
    from llm.serving.api.limits import Limits
    from llm.serving.api.offer import Offer
    from llm.serving.served_model import ServedModel

    with bound:
        offers = {
            one.name: Offer(
                ServedModel(one.name, one.folder, places=places, waiting=queue), one.fingerprint
            )
            for one in chosen
        }
        limits = Limits(body_bytes=max_body, tokens=max_tokens, choices=max_choices, stops=16)
        app = make_app(offers, limits, token or None, _PATIENCE_SECONDS)
        print(f"{', '.join(offers)} at {address_of(bound)} (Ctrl-C ends it)", flush=True)
        server.serve(app, bound, _PATIENCE_SECONDS)


def _choose(wanted: list[str], recipe: str, channel: str) -> list[_Choice]:
    """What to serve, in order.

    Raises:
        ServedModelsError: a folder is not there, or two models have one name.
        MissingInputError: nothing of the recipe is built yet.
    """
    if wanted:
        chosen = [_find(text, recipe, channel) for text in wanted]
    else:
        built = _find_artifacts(recipe, channel)
        _first_built(recipe, channel, MODEL_STAGES)  # says what to do where there is none
        chosen = [
            _of_stage(str(STAGES[stage].makes_model), stage, recipe, channel)
            for stage in MODEL_STAGES
            if stage in built
        ]
    names = [one.name for one in chosen]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ServedModelsError(f"two models are called {twice!r}; give names: --model NAME=FOLDER")
    return chosen


def _find(text: str, recipe: str, channel: str) -> _Choice:
    name, equals, place = text.partition("=")
    if not equals:
        name, place = "", text
    stage = _stage(place)
    if stage is not None:
        return _of_stage(name or place, stage, recipe, channel)
    folder = Path(place).expanduser()
    if not folder.is_dir():
        raise ServedModelsError(
            f"--model {text}: {place!r} is neither a folder nor one of "
            f"{', '.join(_names())}, the models of a recipe"
        )
    weights = folder / "model.safetensors"
    fingerprint = sha256_file(weights) if weights.is_file() else ""  # loading says what is wrong
    return _Choice(name or folder.resolve().name, folder, fingerprint[:16])


def _of_stage(name: str, stage: str, recipe: str, channel: str) -> _Choice:
    model = _first_built(recipe, channel, (stage,)).data("model")
    return _Choice(name, model.folder(), model.data_id[:16])


def _names() -> dict[str, str]:
    """Stages by the names of their models."""
    return {str(STAGES[stage].makes_model): stage for stage in MODEL_STAGES}


def _stage(place: str) -> str | None:
    """The stage that is meant, by its own name or by its model's."""
    return place if place in MODEL_STAGES else _names().get(place)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(serve)
