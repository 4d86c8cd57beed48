"""`ingot publish`: an exported model to where others find it."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.built import Channel, first_built
from flows.cli.options import Recipe
from tasks.engine.store import channels
from tasks.panels.numbers import size
from tasks.recipe import recipe_name


class Place(StrEnum):
    """Where a model can be published."""

    HF = "hf"


def publish(
    place: Annotated[Place, typer.Argument(help="hf: the Hugging Face hub.")],
    repository: Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME there.")],
    recipe: Recipe = "quickstart",
    channel: Channel = channels.LATEST,
    gguf: Annotated[
        bool, typer.Option("--gguf/--no-gguf", help="With the GGUF files, if there are some.")
    ] = True,
    public: Annotated[
        bool, typer.Option("--public", help="For everybody to read; else private.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Upload; without it, only show what would be.")
    ] = False,
) -> None:
    """Show what would be uploaded to the hub, and upload it with --yes; HF_TOKEN is the token."""
    from llm.export import hub

    hub.check_repository(repository)
    artifact = first_built(recipe, channel, ("export",))
    folders: list[Path] = [artifact.data("model").folder()]
    if gguf and "gguf" in artifact.manifest.outputs:
        folders.append(artifact.data("gguf").folder())
    files = hub.uploads(*folders)
    who = "everybody" if public else "nobody but you (private)"
    print(f"{hub.hub_address(os.environ)}/{repository}, to be read by {who}:")
    for file in files:
        print(f"  {size(file.bytes):>10}  {file.name}")
    print(f"  {size(sum(file.bytes for file in files)):>10}  in {len(files)} files")
    if not yes:
        print("nothing was sent; --yes uploads")
        return
    build = artifact.manifest.build_id[:16]
    message = f"The {artifact.facts['stage']} model of {recipe_name(recipe)}, Ingot build {build}"
    print(hub.publish(repository, files, public, message))


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(publish)
