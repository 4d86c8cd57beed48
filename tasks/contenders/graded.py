"""The grades that a judge gave a model, among the measures it is compared by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llm.evaluation.items import read_measures
from tasks.comparison.contenders import ITEMS, Contender
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.published import current

_STAGE = "judge"
# Of its config, what a grade hangs on beside prompt and answer. Its name is all that is known of
# the judge itself.
_SETTINGS = ("model", "max_reply_tokens", "temperature", "new_tokens")


def with_grades(one: Contender) -> Contender:
    """The same with the grades of the last judging that graded this very model, if there is any."""
    record = one.evaluation.manifest.inputs.get(one.model)
    if record is None:
        return one
    # A model may have been judged under two names: what changed nothing made it once more.
    for judging, model in sorted(
        _judgings(one.evaluation, record.data_id),
        key=lambda each: (each[0].manifest.timings.started, each[1] == one.model),
        reverse=True,
    ):
        grades = read_measures(judging.data(ITEMS).table()).get(model)
        if grades:
            return replace(one, measures={**one.measures, **grades}, judge=_judge(judging))
    return one


def _judgings(evaluation: Artifact, model_id: str) -> Iterator[tuple[Artifact, str]]:
    """Every judging that read a model, and what it calls it."""
    store = evaluation.store
    for build in store.names(f"artifacts/{_STAGE}"):
        judging = current(store, _STAGE, build)
        if judging is None or ITEMS not in judging.manifest.outputs:
            continue
        for name, record in judging.manifest.inputs.items():
            if record.data_id == model_id:
                yield judging, name


def _judge(judging: Artifact) -> str:
    config = judging.manifest.config
    settings = ", ".join(f"{name} {config[name]}" for name in _SETTINGS[1:])
    return f"{config[_SETTINGS[0]]} ({settings}; version {judging.manifest.code.version})"
