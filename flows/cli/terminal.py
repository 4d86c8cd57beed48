"""A build watched from a terminal: a bar for the stage that runs, states at the end."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from flows.build import build
from flows.home import open_store
from flows.running import Outcome
from tasks.engine.errors import IngotError
from tasks.engine.execute import published
from tasks.engine.progress import Figure
from tasks.runner import PrefectListener


class Bar:
    """One bar a stage; silent where standard error is no terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>13}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> Bar:
        if sys.stderr.isatty():
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def log(self, stage: str, message: str) -> None:
        return  # Prefect's console handler prints it

    def progress(
        self, stage: str, done: int, total: int, unit: str, figures: dict[str, Figure]
    ) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, figures="")
        text = " ".join(f"{name} {value}" for name, value in figures.items())
        self._progress.update(self._tasks[stage], completed=done, total=total, figures=text)
        if done >= total:
            self._progress.update(self._tasks[stage], visible=False)

    def cancelled(self) -> bool:
        return False


def run_build(asked: tuple[str, list[str], list[str], list[str], list[str]]) -> list[Outcome]:
    """Run the `build` flow in this process.

    Raises:
        IngotError: the error of the stage that failed.
    """
    recipe, changes, only, start, force = asked
    with Bar() as bar:
        PrefectListener.watchers.append(bar)
        try:
            state = build(
                recipe=recipe,
                changes=changes,
                only=only,
                start=start,
                force=force,
                return_state=True,
            )
        finally:
            PrefectListener.watchers.remove(bar)
    store, outcomes = open_store(), []
    for told in state.result():
        artifact = published(store, told["stage"], told["recipe_id"], told["attempt"])
        if artifact is None:
            raise IngotError(f"{told['stage']}: its artifact vanished after the run")
        outcomes.append(Outcome(told["stage"], told["state"], artifact))
    return outcomes
