"""A classifier of texts in fastText: "does this text read like the positives?".

Recipe of DCLM (Li et al. 2024, "DataComp-LM", section 4.4): a supervised fastText model
(Joulin et al. 2016) over word unigrams and bigrams with two labels, trained on chosen
texts against random pages of the crawl. One thread, so equal data give equal bytes.
"""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from llm.corpus.quality.blend import read_blend
from llm.errors import ExpectedError

_POSITIVE, _NEGATIVE = "__label__hq", "__label__lq"
_MODEL, _CARD, _CUTS = "model.bin", "model.json", "buckets.json"
BUCKETS = 20

# Updates (one a text) after which scores have spread at a learning rate of 0.5, and beyond which
# validation AUC no longer grows: 5,000 to 20,000 on 50 to 240 texts a class.
UPDATES = 10_000
FEWEST_EPOCHS = 5  # of DCLM, which has 400,000 texts
# AUC did not depend on the buckets: the same with 8,192 and with 200,000 for 233,000 words.
WORDS_A_BUCKET = 8
MIN_BUCKETS, MAX_BUCKETS = 1 << 13, 1 << 21  # the latter is fastText's own number


class QualityTrainingError(ExpectedError, RuntimeError):
    """fastText gave up on the training data or settings; carries what it said."""


class QualityModelError(ExpectedError, ValueError):
    """A folder does not hold a classifier of this project; names it."""


@dataclass(frozen=True)
class FastTextSettings:
    """What training depends on besides the texts.

    Attributes:
        dim: length of a word vector.
        learning_rate: at the start; falls linearly to 0.
        epochs: passes over the texts.
        word_ngrams: longest word n-gram with a vector of its own.
        min_count: words rarer than this are ignored.
        bucket: hash buckets the n-grams share; the model takes 4 * dim * (bucket + words) bytes.
        seed: of the initial vectors.
    """

    dim: int
    learning_rate: float
    epochs: int
    word_ngrams: int
    min_count: int
    bucket: int
    seed: int


def epochs_for(texts: int) -> int:
    """Passes over so many texts that make `UPDATES` updates, and at least `FEWEST_EPOCHS`."""
    return max(FEWEST_EPOCHS, math.ceil(UPDATES / max(texts, 1)))


def buckets_for(texts: Iterable[str]) -> int:
    """Buckets for the n-grams of normalised texts: a power of two, one in `WORDS_A_BUCKET` words
    or more, within `MIN_BUCKETS` and `MAX_BUCKETS`.
    """
    words = sum(text.count(" ") + 1 for text in texts)
    wanted = max(words // WORDS_A_BUCKET, MIN_BUCKETS)
    return int(min(1 << (wanted - 1).bit_length(), MAX_BUCKETS))


def normalise(text: str) -> str:
    """The one line of words the classifier reads, in training and scoring alike.

    Whitespace runs, newlines included, become one space; case and punctuation stay. Two
    marks of fastText's own become spaces, or they would act where a text mentions them:
    `</s>` ends a line early and `__label__` starts a label. NUL counts as whitespace.
    """
    if "\0" in text:
        text = text.replace("\0", " ")
    if "</s>" in text:
        text = text.replace("</s>", " ")
    if "__label__" in text:
        text = text.replace("__label__", " ")
    return " ".join(text.split())


def write_lines(texts: Iterable[tuple[bool, str]], path: Path) -> None:
    """Write (is positive, normalised text) in the order given as fastText reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        for positive, text in texts:
            stream.write(f"{_POSITIVE if positive else _NEGATIVE} {text}\n")


def train(lines: Path, settings: FastTextSettings, folder: Path) -> None:
    """Train on what `write_lines` wrote; writes the model to `folder`.

    The folder gets `model.bin` (fastText's own format) and `model.json` (labels, settings).
    Training is one long call that hears of nothing else: a process that can be ended is for it.

    Raises:
        QualityTrainingError: the loss diverged, or memory did not suffice for the buckets.
    """
    import fasttext

    try:
        model = fasttext.train_supervised(
            input=str(lines),
            lr=settings.learning_rate,
            dim=settings.dim,
            epoch=settings.epochs,
            wordNgrams=settings.word_ngrams,
            minCount=settings.min_count,
            bucket=settings.bucket,
            seed=settings.seed,
            loss="softmax",
            thread=1,
            verbose=0,
        )
    except (RuntimeError, ValueError, MemoryError) as error:
        raise QualityTrainingError(
            f"fastText could not train: {error or type(error).__name__}; a lower learning_rate "
            "helps against NaN, a smaller bucket or dim against memory"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    model.save_model(str(folder / _MODEL))
    card = {
        "kind": "fasttext classifier",
        "positive": _POSITIVE,
        "negative": _NEGATIVE,
        "normalisation": "whitespace runs to one space, fastText marks to spaces, case kept",
        "settings": asdict(settings),
    }
    (folder / _CARD).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")


def add_to_card(entries: Mapping[str, object], folder: Path) -> None:
    """Write what is known of a classifier into its `model.json`, beside its labels and settings."""
    path = folder / _CARD
    card = {**json.loads(path.read_text()), **entries}
    path.write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")


def write_buckets(scores: Sequence[float], folder: Path) -> None:
    """Write the scores at which each twentieth of some documents ends beside their classifier."""
    cuts = np.quantile(np.array(scores), np.arange(1, BUCKETS) / BUCKETS).tolist()
    (folder / _CUTS).write_text(json.dumps({"cuts": cuts, "documents": len(scores)}) + "\n")


class QualityClassifier:
    """A trained classifier.

    Args:
        folder: what `train` wrote.

    Raises:
        QualityModelError: the folder holds no such model.
    """

    def __init__(self, folder: Path) -> None:
        import fasttext

        path = folder / _MODEL
        try:
            self._model = fasttext.load_model(str(path))
            labels = set(self._model.get_labels())
        except (ValueError, RuntimeError) as error:
            raise QualityModelError(f"{path}: {error}; rebuild the quality stage") from error
        cuts = folder / _CUTS
        self._cuts = json.loads(cuts.read_text())["cuts"] if cuts.is_file() else None
        try:
            self._blend = read_blend(folder)
        except (ValueError, KeyError, TypeError) as error:
            raise QualityModelError(f"{folder}: {error}; rebuild the quality stage") from error
        if labels != {_POSITIVE, _NEGATIVE}:
            raise QualityModelError(
                f"{path}: its labels are {sorted(labels)}, expected {_POSITIVE} and {_NEGATIVE}"
            )

    def score(self, texts: Sequence[str]) -> list[float]:
        """Probability in [0, 1] that each text is a positive; texts are normalised here.

        Where heuristics have joined the classifier, of both together.
        """
        alone = self.score_alone(texts)
        return self._blend.score(alone, texts) if self._blend and texts else alone

    def buckets(self, scores: Sequence[float]) -> list[int | None]:
        """Which twentieth of the documents measured in training each score is in, 0 to 19.

        `None` where none were.
        """
        if self._cuts is None:
            return [None] * len(scores)
        return [bisect.bisect_right(self._cuts, score) for score in scores]

    def score_alone(self, texts: Sequence[str]) -> list[float]:
        """The same by fastText alone."""
        if not texts:
            return []
        labels, scores = self._model.predict([normalise(text) for text in texts], k=2)
        return [
            min(max(float(dict(zip(names, values, strict=True))[_POSITIVE]), 0.0), 1.0)
            for names, values in zip(labels, scores, strict=True)
        ]
