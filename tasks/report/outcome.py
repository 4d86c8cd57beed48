"""What came out, in figures: how good the models are, what they say, what they took to make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm.evaluation.safety.subjects import is_of_safety
from llm.evaluation.score_tables import CHANGE
from tasks.engine.store.artifact import Artifact
from tasks.panels.numbers import duration, number
from tasks.panels.panels import Cell, Curve, Panel, Sample, Samples, StageView, Table
from tasks.report.funnel import Step

EVALUATION = "evaluate"
PRETRAINING = "pretrain"
_LOSS = "Loss"
# What a measure means, and which way is better; of a name with a slash the part behind it.
_MEANINGS = {
    "bits_per_byte": "Surprise at text it never saw: bits for each byte. Lower is better.",
    "completion_loss": "Surprise at the right answer to questions it never saw. Lower is better.",
    "preference_accuracy": (
        "Of a good and a worse answer, how often it holds the good one for more probable. Higher "
        "is better; guessing gives 0.5."
    ),
    "acc": "Share of items it gets right. Higher is better",
}


_BASE = "base"  # what evaluations call the model that pretraining made


@dataclass(frozen=True)
class Price:
    """What an hour of the machine costs; an amount of 0 = not known."""

    amount: float
    currency: str


def tiles(
    artifacts: Mapping[str, Artifact], steps: Sequence[Step], price: Price
) -> list[tuple[str, str]]:
    """Figures at the head of the guide, each with what it counts."""
    found: list[tuple[str, str]] = []
    trained = _training(artifacts)
    if trained:
        found += [
            (number(trained["parameters"]), "parameters"),
            (number(trained["tokens"]), "tokens learned from"),
        ]
    else:
        found += [
            (number(artifact.manifest.totals.kept), "tokens")
            for artifact in artifacts.values()
            if artifact.manifest.totals.unit == "token"
        ]
    if steps:
        found.append((number(steps[-1].kept), f"documents, of {number(steps[0].rows_in)} records"))
    seconds = seconds_of(artifacts)
    where = f"all steps together, on {_machine(trained)}" if trained else "all steps together"
    found.append((duration(seconds), where))
    if price.amount:
        cost = seconds / 3600 * price.amount
        hourly = f"at {price.amount:g} {price.currency} an hour"
        found.append((f"{cost:.2f} {price.currency}", hourly))
    return found


def models(
    artifacts: Mapping[str, Artifact], views: Mapping[str, StageView]
) -> list[tuple[str, str]]:
    """The models that were evaluated and made in this run, each with what its stage does."""
    evaluated = artifacts.get(EVALUATION)
    rows = _rows(evaluated, "scores") if evaluated is not None else []
    stages = {str(row["model"]): str(row["model"]) for row in rows}
    if _BASE in stages:
        stages[_BASE] = PRETRAINING
    return [(name, views[stage].description) for name, stage in stages.items() if stage in views]


def seconds_of(artifacts: Mapping[str, Artifact]) -> float:
    """What all stages took together."""
    return sum(artifact.manifest.timings.seconds for artifact in artifacts.values())


def _training(artifacts: Mapping[str, Artifact]) -> dict[str, Any]:
    """What pretraining says of itself; nothing where there was none."""
    made = artifacts.get(PRETRAINING)
    told: dict[str, Any] = made.facts.get("training", {}) if made is not None else {}
    return told if {"parameters", "tokens"} <= told.keys() else {}


def _machine(trained: Mapping[str, Any]) -> str:
    processes = int(trained.get("processes") or 1)
    device = str(trained.get("device", "one machine"))
    threads = trained.get("threads")
    if device == "cpu" and threads:
        cores = number(int(threads) * processes)
        return f"a processor ({cores} {'thread' if cores == '1' else 'threads'} for training)"
    return device if processes == 1 else f"{processes} of {device}"


def panels(artifacts: Mapping[str, Artifact], views: Mapping[str, StageView]) -> list[Panel]:
    """Scores with intervals, an answer of each model to one question, the curve of learning, and
    where the time went; of each what there is."""
    found: list[Panel] = []
    evaluated = artifacts.get(EVALUATION)
    if evaluated is not None:
        found += _scores(evaluated)
        found += _answers(evaluated)
    found += _curve(views)
    return found


def _rows(artifact: Artifact, output: str) -> list[dict[str, Any]]:
    if output not in artifact.manifest.outputs:
        return []
    rows: list[dict[str, Any]] = artifact.data(output).table().to_pylist()
    return rows


def _scores(evaluated: Artifact) -> list[Panel]:
    """The measures that can be said in a sentence, models side by side."""
    rows = [
        row
        for row in _rows(evaluated, "scores")
        if not row["metric"].endswith(CHANGE)
        and not is_of_safety(row["metric"])
        and row["metric"].rpartition("/")[2] in _MEANINGS
    ]
    if not rows:
        return []
    models = list(dict.fromkeys(row["model"] for row in rows))
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    cells = {(row["metric"], row["model"]): _with_interval(row) for row in rows}
    chances = {name: task["chance"] for name, task in evaluated.facts.get("tasks", {}).items()}
    lines: list[list[Cell]] = []
    for metric in metrics:
        task, _, kind = metric.rpartition("/")
        meaning = _MEANINGS[kind]
        if task:
            chance = chances.get(task)
            meaning += f"; guessing gives {chance:.2g}." if chance is not None else "."
        lines.append(
            [metric.replace("_", " "), *(cells.get((metric, model)) for model in models), meaning]
        )
    note = (
        "In brackets: where the figure would lie, 95 times of 100, had other test items been "
        "drawn. "
        "Where ranges of two models overlap widely, the difference may be chance. What has no "
        "range is a compression program, as a yardstick."
    )
    return [Table("How good it is", ["measure", *models, "what it says"], lines, note)]


def _with_interval(row: Mapping[str, Any]) -> str:
    value = f"{row['value']:.3f}"
    return value if row["low"] is None else f"{value} [{row['low']:.3f}, {row['high']:.3f}]"


def _answers(evaluated: Artifact) -> list[Panel]:
    """The first question that most models answered, with what each said."""
    by_prompt: dict[str, dict[str, str]] = {}
    for row in _rows(evaluated, "samples"):
        by_prompt.setdefault(row["prompt"], {})[row["model"]] = row["completion"]
    if not by_prompt:
        return []
    prompt = max(by_prompt, key=lambda each: len(by_prompt[each]))  # the first of those
    items = [Sample(model, said, {}) for model, said in by_prompt[prompt].items()]
    note = "Each model's most probable words, not chosen by anyone."
    return [Samples(f"Asked: {prompt}", items, note)]


def _curve(views: Mapping[str, StageView]) -> list[Panel]:
    shown = views[PRETRAINING].panels if PRETRAINING in views else ()
    for panel in shown:
        if isinstance(panel, Curve) and panel.title == _LOSS:
            note = (
                "How surprised the model is by the next token, while it reads: 0 would be "
                "certainty, what it is before the first step is what guessing costs. Down is "
                "learning."
            )
            return [
                Curve(
                    "How it learned",
                    panel.x_label,
                    panel.y_label,
                    panel.series,
                    panel.log_x,
                    panel.log_y,
                    note,
                )
            ]
    return []
