"""`ingot chat`: a conversation in the terminal."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.built import Channel
from flows.cli.chosen_models import NAMES, ModelChoice, OneModel, find_model, last_model
from flows.cli.options import Recipe
from flows.cli.sampling_options import (
    FrequencyPenalty,
    MinP,
    NewTokens,
    PrecisionOption,
    PresencePenalty,
    RepetitionPenalty,
    Seed,
    Temperature,
    TopK,
    TopP,
)
from llm.errors import ExpectedError
from tasks.engine.store import channels
from tasks.registry import MODEL_STAGES

if TYPE_CHECKING:
    from llm.serving.chat import Conversation

_HELP = f"""\
/reset            begin anew
/system TEXT      what the model is told before the first turn; without TEXT: nothing
/model NAME       go on with another model: {NAMES}, or a folder
/temperature X    0 = always the most likely token
/save FILE        add the conversation to a file, a line of JSON
/help             this list
/quit             end; so does Ctrl-D. Ctrl-C stops an answer"""


def chat(
    recipe: Recipe = "quickstart",
    say: Annotated[
        list[str],
        typer.Option(
            "--say", help="Send this message, print the answer and exit. May be repeated."
        ),
    ] = [],  # noqa: B006 - Typer reads the default, nobody writes it
    model: OneModel = "",
    system: Annotated[str, typer.Option(help="What the model is told before the first turn.")] = "",
    temperature: Temperature = 0.0,
    top_k: TopK = 0,
    top_p: TopP = 0.95,
    min_p: MinP = 0.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    presence_penalty: PresencePenalty = 0.0,
    frequency_penalty: FrequencyPenalty = 0.0,
    new_tokens: NewTokens = 200,
    seed: Seed = 0,
    precision: PrecisionOption = "fp32",
    channel: Channel = channels.LATEST,
) -> None:
    """Chat with a model of a recipe, on this machine's CPU; /help lists what else can be typed."""
    from llm.serving.chat import TurnNotTextError, check_text

    try:
        for turn in [*say, system]:
            check_text(turn)
    except TurnNotTextError as error:
        raise _usage_error(f"--say: {error}") from error
    # The first stage makes a model that goes on with a text, and does not answer.
    chosen = (
        find_model(model, recipe, channel)
        if model
        else last_model(recipe, channel, MODEL_STAGES[1:])
    )
    from llm.model.sampling import Sampling
    from llm.serving.chat import Conversation

    sampling = Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
    )

    def begin(choice: ModelChoice) -> Conversation:
        return Conversation(choice.folder, sampling, new_tokens, precision)

    conversation = begin(chosen)
    conversation.system = system
    if say:
        for turn in say:
            _print_as_it_comes(conversation.stream(turn))
        return
    talk = _Talk(conversation, lambda name: begin(find_model(name, recipe, channel)))
    talk.go_on(f"{chosen.name} model of {recipe}; /help lists what can be typed, Ctrl-D ends")


class _Talk:
    """Turns and commands that are typed, until there are no more."""

    def __init__(self, conversation: Conversation, begin: Callable[[str], Conversation]) -> None:
        self._talk, self._begin = conversation, begin
        self._answering = False

    def go_on(self, greeting: str) -> None:
        _edit_lines()
        with _interruptible():
            while True:
                try:
                    if greeting:
                        print(greeting, flush=True)
                        greeting = ""
                    turn = _turn()
                    if turn is None or turn == "/quit":
                        return
                    self._take(turn)
                except ExpectedError as error:
                    print(error)
                except KeyboardInterrupt:  # a line that is begun is thrown away
                    print("\n(stopped; the turn was not counted)" if self._answering else "")
                self._answering = False

    def _take(self, turn: str) -> None:
        from llm.serving.chat import TurnNotTextError

        if turn.startswith("/"):
            self._obey(turn)
        elif turn:
            try:
                self._answer(turn)
            except TurnNotTextError as error:
                if not sys.stdin.isatty():
                    raise _usage_error(str(error)) from error
                print(f"{error}; nothing was sent")

    def _answer(self, turn: str) -> None:
        self._answering = True
        began = time.perf_counter()
        first = _print_as_it_comes(self._talk.stream(turn)) - began
        seconds, tokens = time.perf_counter() - began, self._talk.spoken
        said = f"{tokens} tokens, {first:.2f} s to the first"
        if seconds > first and tokens > 1:
            said += f", {(tokens - 1) / (seconds - first):,.0f} a second"
        if self._talk.forgotten:
            said += f"; the oldest {self._talk.forgotten} turns no longer fit and were left out"
        print(f"({said})", file=sys.stderr)

    def _obey(self, turn: str) -> None:
        name, _, rest = turn.partition(" ")
        rest = rest.strip()
        commands: dict[str, Callable[[str], None]] = {
            "/reset": lambda _: self._talk.forget(),
            "/system": self._set_system,
            "/model": self._change_model,
            "/temperature": self._set_temperature,
            "/save": self._save,
            "/help": lambda _: print(_HELP),
        }
        if name in commands:
            commands[name](rest)
        else:
            print(f"{name} is no command; /help lists them")

    def _set_system(self, text: str) -> None:
        self._talk.system = text

    def _set_temperature(self, text: str) -> None:
        try:
            self._talk.sampling = replace(self._talk.sampling, temperature=float(text))
        except ValueError as error:
            print(error if isinstance(error, ExpectedError) else f"{text!r} is no number")

    def _change_model(self, name: str) -> None:
        if not name:
            print(f"name a model: {NAMES}, or a folder")
            return
        new = self._begin(name)
        new.turns, new.system = self._talk.turns, self._talk.system
        new.sampling = self._talk.sampling
        self._talk = new

    def _save(self, name: str) -> None:
        if not name or not self._talk.turns:
            print("nothing was said yet" if name else "name a file")
            return
        told = [{"role": "system", "content": self._talk.system}] if self._talk.system else []
        record = json.dumps({"messages": [*told, *self._talk.turns]}, ensure_ascii=False)
        try:
            with Path(name).expanduser().open("a", encoding="utf-8") as file:
                file.write(record + "\n")
        except OSError as error:
            print(f"{name}: {error.strerror}")
        else:
            print(f"{name}: {len(self._talk.turns)} turns")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C raises in the answer that is being made, and ends nothing else."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _edit_lines() -> None:
    """Lines can be edited from now on, and those before come back by the arrow keys, where Python
    has it."""
    with contextlib.suppress(ImportError):
        import readline

        readline.set_history_length(1000)


def _print_as_it_comes(pieces: Iterator[str]) -> float:
    """Print pieces; returns when the first one came, or the end of none."""
    first = 0.0
    for piece in pieces:
        first = first or time.perf_counter()
        print(piece, end="", flush=True)
    print()
    return first or time.perf_counter()


def _turn() -> str | None:
    """What is typed next; none where nothing follows."""
    try:
        return input("> ").strip()
    except EOFError:
        print()
        return None
    except UnicodeDecodeError as error:
        told = f"the turn is not UTF-8: {error.reason}; convert it to UTF-8"
        if not sys.stdin.isatty():
            raise _usage_error(told) from error
        print(f"{told}; nothing was sent")
        return ""


def _usage_error(what: str) -> typer.Exit:
    """The end of a command whose input is no use: one line, and the exit code of wrong usage."""
    print(what, file=sys.stderr)
    return typer.Exit(2)


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(chat)
