"""The text that all variants are measured on: validation documents of the base.

A variant with another filter or other duplicates has another validation split. Its model is
measured on the base's, all of it, whatever the variant would have removed of that. What is left
out is text that a variant has trained on: without a neighbour that the base keeps, a document's
group of near-duplicates is another, and may have gone to the other side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from llm.evaluation.measure import BITS_PER_BYTE, Measure
from llm.tables import TRAIN, VALIDATION
from tasks.engine.run.execute import BuildRequest
from tasks.engine.run.plan import Planner
from tasks.engine.store.artifact import Data
from tasks.experiments.definition import EVALUATE, ExperimentError
from tasks.experiments.definition import TRAIN as TRAINED

_DEDUP = "dedup"


@dataclass(frozen=True)
class Text:
    """Documents of a run, and its pairs of near-duplicates, where it looked for them."""

    documents: Data
    pairs: Data | None


def evaluation_request(plan: Planner, base: Planner) -> BuildRequest:
    """The evaluation of a run's model on what the base's model is measured on.

    Args:
        plan: all that its `evaluate` reads is built.
        base: the same, its model perhaps not.
    """
    own = plan.request(EVALUATE)
    model = {name: one for name, one in own.inputs.items() if one[0].stage == TRAINED}
    rest = {
        name: (base.artifacts[stage], output)
        for name, (stage, output) in base.chain.wiring[EVALUATE].items()
        if stage != TRAINED
    }
    return replace(own, inputs={**rest, **model})


def text_of(plan: Planner) -> Text:
    """What the evaluation of a run by itself would read its validation text from."""
    stage, output = plan.chain.wiring[EVALUATE]["documents"]
    dedup = plan.artifacts.get(_DEDUP)
    pairs = dedup.data("pairs") if dedup is not None else None
    return Text(plan.artifacts[stage].data(output), pairs)


def trained_on(base: Text, runs: Iterable[Text]) -> set[str]:
    """Validation documents of the base that a run has in training, or a near-duplicate of which.

    Raises:
        ExperimentError: that is all of them.
    """
    texts = {one.documents.data_id: one for one in runs}
    held = _ids(base.documents, VALIDATION)
    pairs = {
        one.pairs.data_id: one.pairs.table(["doc_id", "other_id"])
        for one in (base, *texts.values())
        if one.pairs is not None
    }
    found: set[str] = set()
    for text in texts.values():
        if text.documents.data_id == base.documents.data_id:
            continue
        train = _ids(text.documents, TRAIN)
        found.update(held.filter(pc.is_in(held, train)).to_pylist())
        for table in pairs.values():
            for one, other in (("doc_id", "other_id"), ("other_id", "doc_id")):
                both = pc.and_(
                    pc.is_in(table.column(one), held), pc.is_in(table.column(other), train)
                )
                found.update(table.filter(both).column(one).to_pylist())
    if found and len(found) == len(held):
        raise ExperimentError(
            "every validation document of the base, or a near-duplicate of it, is in the training "
            "text of some variant: nothing is left to measure on. Raise dedup.validation_fraction, "
            "or try less at a time"
        )
    return found


def all_without(measures: Mapping[str, Measure], documents: set[str]) -> dict[str, Measure]:
    """Measures on their items that are not of these documents, see `without`.

    A measure of a part of the text, such as a source, may lose all its items, and is left out.
    """
    found = {}
    for name, measure in measures.items():
        if name == BITS_PER_BYTE or any(
            each.partition(":")[0] not in documents for each in measure.ids
        ):
            found[name] = without(measure, documents)
    return found


def without(measure: Measure, documents: set[str]) -> Measure:
    """A measure on its items that are not of these documents; `DOC_ID` or `DOC_ID:PART` names one.

    Raises:
        ExperimentError: none is left.
    """
    kept = tuple(each for each in measure.ids if each.partition(":")[0] not in documents)
    if not kept:
        raise ExperimentError(
            f"{measure.metric}: every item is text that some variant has trained on; raise "
            f"{EVALUATE}.validation_bytes"
        )
    return measure if len(kept) == len(measure.ids) else measure.on(kept)


def _ids(documents: Data, split: str) -> pa.Array:
    table = documents.table(["doc_id", "split"])
    ids = table.filter(pc.equal(table.column("split"), split)).column("doc_id")
    return ids.combine_chunks() if ids.num_chunks else pa.array([], pa.string())
