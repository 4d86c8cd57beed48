"""quality: fastText classifiers, each trained from labelled positives and negatives."""

from __future__ import annotations

import heapq
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.corpus.quality.blend import Blend, columns, fit, write_blend
from llm.corpus.quality.classifier import (
    FastTextSettings,
    QualityClassifier,
    QualityTrainingError,
    add_to_card,
    buckets_for,
    epochs_for,
    write_buckets,
    write_lines,
)
from llm.corpus.quality.labels import (
    Division,
    LabelledText,
    OneClassError,
    Sampler,
    TooFewLabelsError,
    divide,
)
from llm.corpus.quality.metrics import binary_metrics, roc_auc
from llm.process.child import ChildFailedError
from llm.process.guarded import TIMEOUT, seconds_for
from llm.tables import DOC_ID, REJECTED
from tasks.engine.declare import Input, Output
from tasks.engine.shards.lost_documents import TIMING_DEPENDENT
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Inputs
from tasks.stages.quality_config import QualityConfig, externals
from tasks.stages.quality_labels import collect_labels
from tasks.stages.quality_panels import MIN_SPREAD, THRESHOLD, fact_name, panels

VALIDATION_SCORES = pa.schema(
    [
        DOC_ID,
        pa.field("classifier", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
    ]
)
_PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
_CLASSES = ("positives", "negatives")
# Cross-fitted: each part is scored by a classifier of the others.
_FOLDS = 4
_MOST_BLENDED = 20_000  # texts; some thirty weights need no more
_MOST_MEASURED = 5_000  # documents that buckets are cut by
_FEWEST_COMPARED = 10  # texts of a class that AUCs are compared on
_MIN_SECONDS = 600.0  # that training may take, whatever the texts


def run(config: QualityConfig, inputs: Inputs, out: Out) -> None:
    """Collect labels, train, score the validation share, one classifier after the other."""
    everything: list[tuple[str, Sampler]] = []
    by_classifier: dict[str, dict[str, list[Sampler]]] = {}
    divisions, rejected, validation = [], [], []
    for classifier in config.classifiers:
        samplers: dict[str, list[Sampler]] = {}
        for group, sources in zip(_CLASSES, (config.positives, config.negatives), strict=True):
            samplers[group] = []
            for source in sources:
                if source.classifier == classifier:
                    sampler, bad = collect_labels(
                        source, config.seed, inputs, group, config.heuristics
                    )
                    out.log(f"{source.name}: {sampler.used} of {sampler.rows} texts")
                    samplers[group].append(sampler)
                    rejected += bad
        by_classifier[classifier] = samplers
        everything += [(group, s) for group, members in samplers.items() for s in members]
    sample = _sample(inputs, {doc_id for doc_id, _, _ in rejected})
    for classifier, samplers in by_classifier.items():
        division, scored = _train(config, classifier, samplers, sample, out)
        validation.append(scored)
        divisions.append(division)
    if timed_out := [doc_id for doc_id, reason, _ in rejected if reason == TIMEOUT]:
        out.fact(TIMING_DEPENDENT, timed_out)
    with out.table("rejected") as table:
        if rejected:
            columns = [list(column) for column in zip(*rejected, strict=True)]
            table.write(pa.table(columns, schema=REJECTED))
    with out.table("validation") as table:
        for scored in validation:
            table.write(scored)
    out.fact("classifiers", config.classifiers)
    _account(config, out, everything, divisions)


def _train(
    config: QualityConfig,
    classifier: str,
    samplers: Mapping[str, Sequence[Sampler]],
    sample: Sequence[str],
    out: Out,
) -> tuple[Division, pa.Table]:
    """Train one classifier into a folder of its name; the division of its texts, and the scored
    validation ones.

    Args:
        sample: texts of documents, whose scores the buckets are cut by.
    """
    positives, negatives = (
        [text for sampler in samplers[name] for text in sampler.texts()] for name in _CLASSES
    )
    try:
        division = divide(
            positives, negatives, config.validation_fraction, config.min_examples, config.seed
        )
    except (OneClassError, TooFewLabelsError) as error:
        error.add_note(f"the labels are those of the classifier {classifier!r}")
        raise
    lines = [(label, item.text) for label, item in division.train]
    settings = FastTextSettings(
        dim=config.dim,
        learning_rate=config.learning_rate,
        epochs=config.epochs or epochs_for(len(lines)),
        word_ngrams=config.word_ngrams,
        min_count=config.min_count,
        bucket=config.bucket or buckets_for(text for _, text in lines),
        seed=config.seed,
    )
    folder = out.folder("model") / classifier
    if config.heuristics:
        blend = _blend(division, settings, out)
        _train_fasttext(lines, settings, folder, out)
        write_blend(blend, folder)
    else:
        _train_fasttext(lines, settings, folder, out)
    if sample:
        write_buckets(QualityClassifier(folder).score(sample), folder)
    for name, value in {
        "trained_on": {
            "positive": sum(label for label, _ in lines),
            "negative": sum(not label for label, _ in lines),
        },
        "duplicates": dict(division.removed),
        "epochs": settings.epochs,
        "bucket": settings.bucket,
        "model_bytes": (folder / "model.bin").stat().st_size,
    }.items():
        out.fact(fact_name(classifier, name), value)
    card: dict[str, object] = {
        "trained_on": {
            group: {sampler.source: sampler.used for sampler in samplers[group]}
            for group in _CLASSES
        },
        "heuristics": config.heuristics,
        "buckets_cut_by_documents": len(sample),
    }
    model = QualityClassifier(folder)
    scored, measured = _evaluate(out, classifier, division.validation, model)
    add_to_card({**card, "validation": measured}, folder)
    return division, scored


def _sample(inputs: Inputs, rejected: Set[str]) -> list[str]:
    """Texts of some of the recipe's documents, those of smallest doc_id, which is a hash; none of
    those that were rejected."""
    documents = inputs.get("documents")
    if documents is None:
        return []
    chosen: list[tuple[str, str]] = []
    for table in documents.tables(["doc_id", "text"]):
        columns = (table.column(name).to_pylist() for name in ("doc_id", "text"))
        rows = [
            (i, text)
            for i, text in zip(*columns, strict=True)
            if i not in rejected and text and text.strip()
        ]
        chosen = heapq.nsmallest(_MOST_MEASURED, [*chosen, *rows])
    return [text for _, text in chosen]


def _train_fasttext(
    lines: Sequence[tuple[bool, str]], settings: FastTextSettings, folder: Path, out: Out
) -> None:
    path = out.scratch / "quality-train.txt"
    try:
        write_lines(lines, path)
        seconds = _MIN_SECONDS + settings.epochs * seconds_for(path.stat().st_size)
        out.alone("llm.corpus.quality.classifier:train", path, settings, folder, seconds=seconds)
    except ChildFailedError as error:
        if error.type_name == QualityTrainingError.__name__:
            raise QualityTrainingError(f"{len(lines)} texts: {error.message}") from error
        raise
    finally:
        path.unlink(missing_ok=True)


def _blend(division: Division, settings: FastTextSettings, out: Out) -> Blend:
    """Weights of score and heuristics, from scores by classifiers that have not seen the texts."""
    scores: list[NDArray[np.float64]] = []
    labels: list[bool] = []
    train = division.train[:_MOST_BLENDED]
    for fold in range(_FOLDS):
        # The order is one by hash, so every so many-th is a random share.
        rest = [(label, item.text) for n, (label, item) in enumerate(train) if n % _FOLDS != fold]
        unseen = train[fold::_FOLDS]
        folder = out.scratch / f"fold-{fold}"
        _train_fasttext(rest, settings, folder, out)
        texts = [item.whole for _, item in unseen]
        alone = QualityClassifier(folder).score_alone(texts)
        scores.append(columns(alone, texts))
        labels += [label for label, _ in unseen]
        shutil.rmtree(folder)
    return fit(np.concatenate(scores), labels)


def _evaluate(
    out: Out,
    classifier: str,
    validation: Sequence[tuple[bool, LabelledText]],
    model: QualityClassifier,
) -> tuple[pa.Table, dict[str, object]]:
    """The scored validation texts, and what they say about the model, which is recorded."""
    labels = [label for label, _ in validation]
    scores = model.score([item.whole or item.text for _, item in validation])
    facts: dict[str, object] = asdict(binary_metrics(labels, scores, THRESHOLD))
    by_length = roc_auc(
        np.array(labels, dtype=bool), np.array([float(len(i.text)) for _, i in validation])
    )
    if by_length is not None:
        # Whichever of the two is the longer class.
        facts["length_auc"] = max(by_length, 1 - by_length)
    ranks = [f"p{rank}" for rank in _PERCENTILES]
    for name, wanted in (("positive", True), ("negative", False)):
        chosen = [s for label, s in zip(labels, scores, strict=True) if label is wanted]
        if chosen:
            cuts = np.percentile(chosen, _PERCENTILES).tolist()
            facts[f"{name}_scores"] = dict(zip(ranks, cuts, strict=True))
    if scores:
        low, high = np.percentile(scores, (5, 95)).tolist()
        facts["score_spread"] = high - low
        facts["hardly_spread"] = high - low < MIN_SPREAD
        if high - low < MIN_SPREAD:
            out.log(f"warning: {classifier}: {_hardly_spread(low, high)}")
    if _is_beaten_by_length(facts):
        out.log(
            f"warning: {classifier}: the length of a text tells the classes apart as well "
            f"(AUC {facts['length_auc']:.3f}, the classifier {facts['auc']:.3f}); give both "
            "classes texts of like lengths by min_chars and max_chars, or name more labels"
        )
    for name, value in facts.items():
        out.fact(fact_name(classifier, name), value)
    rows = [
        [item.id for _, item in validation],
        [classifier] * len(validation),
        [item.source for _, item in validation],
        [int(label) for label in labels],
        scores,
    ]
    return pa.table(rows, schema=VALIDATION_SCORES), facts


def _is_beaten_by_length(facts: Mapping[str, Any]) -> bool:
    """Whether length alone does as well, on texts enough to say so."""
    if min(facts["positives"], facts["negatives"]) < _FEWEST_COMPARED:
        return False
    return bool(facts["auc"] < 1 and facts["length_auc"] >= facts["auc"])


def _hardly_spread(low: float, high: float) -> str:
    return (
        f"nine in ten validation scores lie between {low:.3f} and {high:.3f}, so a threshold means "
        "nothing; raise epochs or learning_rate, or name more labels. keep_fraction in filter "
        "goes by their order alone"
    )


def _account(
    config: QualityConfig,
    out: Out,
    samplers: Sequence[tuple[str, Sampler]],
    divisions: Sequence[Division],
) -> None:
    """State where every labelled row went."""
    trains = {s.name: s.classifier for s in (*config.positives, *config.negatives)}
    rows, removed, rejected = 0, Counter[str](), Counter[str]()
    sources = []
    for group, sampler in samplers:
        rows += sampler.rows
        removed.update(sampler.removed)
        rejected.update(sampler.rejected)
        sources.append(
            {
                "name": sampler.source,
                "classifier": trains[sampler.source],
                "class": group.removesuffix("s"),
                "rows": sampler.rows,
                "used": sampler.used,
                "removed": dict(sorted(sampler.removed.items())),
                "rejected": dict(sorted(sampler.rejected.items())),
            }
        )
    for division in divisions:
        removed.update(division.removed)
    kept = sum(len(division.train) + len(division.validation) for division in divisions)
    removed_by_reason = dict(sorted(removed.items()))
    out.conserve(rows, kept, removed_by_reason, dict(sorted(rejected.items())), unit="text")
    out.fact("sources", sources)


STAGE = Stage(
    name="quality",
    version=5,
    description="fastText classifiers (quality, or others by name), trained from labelled texts.",
    config=QualityConfig,
    inputs={
        "documents": Input(
            ("sites.documents", "clean.documents"),
            "Cleaned documents, for label sources of that kind.",
            True,
        )
    },
    outputs={
        "model": Output("A folder a classifier: model.bin, fastText's own format, and model.json."),
        "validation": Output("Scored texts that did not train it.", VALIDATION_SCORES),
        "rejected": Output("Labelled rows that could not be read.", REJECTED),
    },
    run=run,
    panels=panels,
    learned=True,
    externals=externals,
    libraries=("fasttext-community", "numpy", "xxhash"),
    code=("llm.corpus.quality.label_sources", "llm.corpus.quality.classifier"),
)
