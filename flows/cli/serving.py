"""`ingot serve`: models over OpenAI's protocol, with a page to chat with them."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.attributing import open_attributor
from flows.cli.built import Channel
from flows.cli.chosen_models import choose_models
from flows.cli.options import Recipe
from flows.cli.sampling_options import PrecisionOption
from tasks.engine.store import channels

_TOKEN = "INGOT_SERVE_TOKEN"


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
    precision: PrecisionOption = "fp32",
    queue: Annotated[
        int, typer.Option(min=0, help="Requests that wait for a place; further ones are refused.")
    ] = 128,
    threads: Annotated[
        int,
        typer.Option(min=0, max=1024, help="Threads of a step; 0 = as many as turn out fastest."),
    ] = 0,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Tokens of an answer at most, whatever is asked for.")
    ] = 4096,
    max_choices: Annotated[
        int, typer.Option(min=1, help="Answers to one request at most: n times its prompts.")
    ] = 16,
    max_body: Annotated[
        int, typer.Option(min=1_000, help="Size of a request in bytes at most.")
    ] = 1_000_000,
    attribution: Annotated[
        bool, typer.Option(help="Tell where answers stand in training, if the recipe has an index.")
    ] = True,
    patience: Annotated[
        int,
        typer.Option(
            min=0, help="Seconds that answers under way have to end in once it is to stop."
        ),
    ] = 30,
) -> None:
    """Serve models over OpenAI's protocol, and a page to chat with them.

    Ends at Ctrl-C or SIGTERM, once the answers under way have ended.
    """
    from llm.serving.api.server import address_of, check_token, listen

    if token and not token.strip():
        raise typer.BadParameter(f"the token, also from {_TOKEN}, is white space")
    token = token.strip()  # of a file that it was read from, say
    check_token(host, token or None)
    chosen = choose_models(model, recipe, channel)
    bound = listen(host, port)  # before models are loaded: what cannot be is told at once
    from llm.serving.api import server
    from llm.serving.api.app import make_app
    from llm.serving.api.limits import Limits
    from llm.serving.api.offer import Offer
    from llm.serving.served_model import ServedModel

    with bound:
        offers = {
            one.name: Offer(
                ServedModel(one.name, one.folder, places, queue, precision, threads),
                one.fingerprint if precision == "fp32" else f"{one.fingerprint}-{precision}",
            )
            for one in chosen
        }
        limits = Limits(body_bytes=max_body, tokens=max_tokens, choices=max_choices, stops=16)
        attributor = open_attributor(recipe, channel) if attribution else None
        app = make_app(offers, limits, token or None, attributor)
        print(f"{', '.join(offers)} at {address_of(bound)} (Ctrl-C ends it)", flush=True)
        server.serve(app, bound, [offer.model for offer in offers.values()], patience)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command()(serve)
