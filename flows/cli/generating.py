"""`ingot generate`: answers to prompts, all at once."""

from __future__ import annotations

import json
import queue
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.built import Channel
from flows.cli.chosen_models import OneModel, find_model, last_model
from flows.cli.options import AsJson, Recipe
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

if TYPE_CHECKING:
    from llm.serving.request import Ended, Piece, Request
    from llm.serving.served_model import ServedModel

_PLACES = 16


class PromptError(ExpectedError, ValueError):
    """There is no prompt, or one that cannot be read; says which."""


def generate(
    prompts: Annotated[
        list[str], typer.Argument(help="Texts to go on with; - or none: standard input.")
    ] = [],  # noqa: B006 - Typer reads the default, nobody writes it
    file: Annotated[
        list[Path], typer.Option("--file", "-f", help="A file that is a prompt. May be repeated.")
    ] = [],  # noqa: B006
    lines: Annotated[
        bool, typer.Option("--lines", help="Every line of files and standard input is a prompt.")
    ] = False,
    model: OneModel = "",
    chat: Annotated[
        bool | None,
        typer.Option(
            "--chat/--text",
            help="A prompt is a user's turn, or a text to go on with; default: what the model is "
            "made for.",
        ),
    ] = None,
    system: Annotated[str, typer.Option(help="With --chat: what the model is told first.")] = "",
    count: Annotated[int, typer.Option("-n", "--n", min=1, help="Answers to each prompt.")] = 1,
    stop: Annotated[
        list[str], typer.Option("--stop", help="End before this text. May be repeated.")
    ] = [],  # noqa: B006
    new_tokens: NewTokens = 200,
    temperature: Temperature = 0.0,
    top_k: TopK = 0,
    top_p: TopP = 0.95,
    min_p: MinP = 0.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    presence_penalty: PresencePenalty = 0.0,
    frequency_penalty: FrequencyPenalty = 0.0,
    seed: Seed = 0,
    precision: PrecisionOption = "fp32",
    as_json: AsJson = False,
    recipe: Recipe = "quickstart",
    channel: Channel = channels.LATEST,
) -> None:
    """Go on with texts, or answer turns, on this machine's CPU.

    One answer is printed as it comes; with --json each is a line of its own once it has ended.
    """
    texts = _read(prompts, file, lines)
    chosen = find_model(model, recipe, channel) if model else last_model(recipe, channel)
    from llm.model.sampling import Sampling
    from llm.serving.request import Request
    from llm.serving.served_model import ServedModel

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
    answers = len(texts) * count
    places = min(answers, _PLACES)
    served = ServedModel(chosen.name, chosen.folder, places, answers, precision)
    turns = chosen.takes_turns if chat is None else chat
    encoded = [_encode(served, text, system if turns else None, turns) for text in texts]
    requests = [
        Request(tuple(ids), new_tokens, sampling, tuple(stop), stream=number)
        for ids in encoded
        for number in range(count)
    ]
    began = time.perf_counter()
    tokens = 0
    for answer in _answers(served, requests, alone=answers == 1 and not as_json):
        tokens += answer.tokens
        if as_json:
            record = {
                "prompt": texts[answer.number // count],
                "index": answer.number % count,
                "text": answer.text,
                "tokens": answer.tokens,
                "ended": answer.ended,
                "model": chosen.name,
            }
            print(json.dumps(record, ensure_ascii=False), flush=True)
        elif answers > 1:
            print(f"# {answer.number // count + 1}.{answer.number % count + 1}\n{answer.text}\n")
    seconds = time.perf_counter() - began
    if sys.stderr.isatty():
        print(f"{tokens:,} tokens, {tokens / seconds:,.0f} a second", file=sys.stderr)


class _Answer:
    """An answer that grows.

    Attributes:
        number: of its request.
        tokens: how many it has.
    """

    def __init__(self, number: int) -> None:
        self.number, self.text, self.tokens = number, "", 0
        self.ended: Ended | None = None


def _answers(served: ServedModel, requests: Sequence[Request], alone: bool) -> Iterator[_Answer]:
    """Answers in the order of their requests, each once it has ended.

    Args:
        alone: print the pieces as they come.
    """
    pieces: queue.SimpleQueue[tuple[int, Piece]] = queue.SimpleQueue()
    for number, request in enumerate(requests):
        served.submit(request, lambda piece, number=number: pieces.put((number, piece)))
    answers = [_Answer(number) for number in range(len(requests))]
    told = 0
    while told < len(answers):
        number, piece = pieces.get()
        answer = answers[number]
        answer.text += piece.text
        answer.tokens += len(piece.tokens)
        answer.ended = piece.ended
        if alone:
            print(piece.text, end="\n" if piece.ended else "", flush=True)
        while told < len(answers) and answers[told].ended:
            yield answers[told]
            told += 1
    served.close(0)


def _encode(served: ServedModel, text: str, system: str | None, turns: bool) -> list[int]:
    if not turns:
        return served.encoder.text(text)
    told = [{"role": "system", "content": system}] if system else []
    return served.encoder.prompt([*told, {"role": "user", "content": text}])


def _read(prompts: Sequence[str], files: Sequence[Path], lines: bool) -> list[str]:
    """What is to be gone on with.

    Raises:
        PromptError: nothing is, or it cannot be read.
    """
    from llm.serving.chat import TurnNotTextError, check_text

    given = [prompt for prompt in prompts if prompt != "-"]
    try:
        for prompt in given:
            check_text(prompt)
        read = [path.read_text(encoding="utf-8") for path in files]
        if "-" in prompts or not (prompts or files):
            read.append(sys.stdin.buffer.read().decode("utf-8"))
    except OSError as error:
        raise PromptError(f"{error.filename}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"a prompt is not UTF-8 at byte {error.start}: convert it") from error
    except TurnNotTextError as error:
        raise PromptError(str(error)) from error
    if lines:
        read = [line for text in read for line in text.split("\n") if line.strip()]
    texts = given + [text.removesuffix("\n") for text in read]
    if not any(texts):
        raise PromptError("there is no prompt; give one as an argument, or by --file")
    return texts


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command()(generate)
