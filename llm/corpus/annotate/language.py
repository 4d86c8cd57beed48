"""Which language a text is in.

Two models decide: fastText's lid.176 (Joulin et al. 2016, "Bag of Tricks for Efficient Text
Classification"; 176 languages, trained on Wikipedia, Tatoeba and SETimes) where it is sure, and
where it names a language that the other has never seen; else py3langid (Lui and Baldwin 2012,
"langid.py"; 139 languages, in a model of its own), which knows languages of Africa and South Asia
that lid.176 hardly finds, and takes three times as long. A model of one's own decides alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llm.corpus.annotate.scripts import script
from llm.corpus.annotate.telltales import told
from llm.corpus.stream_safe import stream_safe
from llm.corpus.text_metrics.languages import short_code
from llm.errors import ExpectedError
from llm.kept_arrays import Arrays, kept_arrays

_LABEL = "__label__"
_LETTER = re.compile(r"[^\W\d_]")
# A newline is an error to fastText, and "</s>" as a word ends the line: what follows it would
# be ignored.
_MARKS = str.maketrans({"\n": " ", "<": " ", ">": " "})
# Of 2,867 paragraphs in 140 languages lid.176 was wrong on 5 that it gave as much, Dzongkha apart,
# which is written as Tibetan is.
SURE = 0.95
SHORT = 200  # characters below which it is never sure
_NEVER_SURE = frozenset({"bo"})
LIKELY = 0.5  # that a language which one model alone knows must have of it


class LanguageModelError(ExpectedError, ValueError):
    """A file is not a fastText language model; names it and what to do."""


class Identified(NamedTuple):
    """A language by its code (ISO 639-1 where it has one), the probability in [0, 1] that the model
    which decided gives it, and the script (ISO 15924) of the text.
    """

    language: str
    score: float
    script: str | None


class LanguageIdentifier:
    """A loaded language model.

    Args:
        path: a supervised fastText model whose labels are language codes (lid.176.ftz), or codes
            with scripts behind them (`eng_Latn`, as GlotLID and OpenLID have).
        characters: how much of the beginning of a text is read; 0 for all.
        alone: whether that model alone decides.

    Raises:
        LanguageModelError: the file is no such model.
    """

    def __init__(self, path: Path, characters: int, alone: bool) -> None:
        import fasttext

        try:
            self._model = fasttext.load_model(str(path))
            labels = self._model.get_labels()
        except (ValueError, RuntimeError) as error:
            raise LanguageModelError(
                f"{path}: {error}; name a supervised fastText model such as lid.176.ftz "
                "in language_model, or leave it empty for the standard one"
            ) from error
        if not all(label.startswith(_LABEL) for label in labels):
            raise LanguageModelError(
                f"{path}: its labels do not start with {_LABEL}; it is no language model"
            )
        self._characters, self._alone = characters, alone

    def identify(self, texts: Sequence[str]) -> list[Identified | None]:
        """Language, probability and script of each text; `None` for one without letters."""
        found: list[Identified | None] = [None] * len(texts)
        lines, places = [], []
        for place, text in enumerate(texts):
            line = (text[: self._characters] if self._characters else text).translate(_MARKS)
            if _LETTER.search(line):
                lines.append(line)
                places.append(place)
        if lines:
            labels, scores = self._model.predict(lines, k=1)
            for place, line, names, values in zip(places, lines, labels, scores, strict=True):
                # Quantised models give probabilities a little above 1.
                score = min(max(float(values[0]), 0.0), 1.0)
                found[place] = self._decided(line, names[0].removeprefix(_LABEL), score)
        return found

    def _decided(self, line: str, label: str, score: float) -> Identified:
        name, _, written = label.partition("_")
        if self._alone:
            return Identified(short_code(name), score, written or script(line))
        sure = score >= SURE and len(line) >= SHORT and name not in _NEVER_SURE
        if not sure and (score < LIKELY or name in _second_languages()):
            name, score = _second(line)
        found = script(line)
        return Identified(told(line, short_code(name), found), score, found)


def told_languages(path: Path) -> frozenset[str]:
    """Codes of the languages that one of the two models knows, the first of which is at `path`."""
    import fasttext

    labels = fasttext.load_model(str(path)).get_labels()
    second = map(short_code, _second_languages())
    return frozenset(second).union(label.removeprefix(_LABEL) for label in labels)


@cache
def _second_model() -> Any:
    from importlib.metadata import version  # not before: to know the stages is to import this file

    from py3langid.langid import LanguageIdentifier as Second

    # To unpack it takes half a second, in which Python reads a hundred documents.
    found = kept_arrays("py3langid", [Path(__file__)], (version("py3langid"),), _unpacked_model)
    return Second(
        found["ptc"],
        found["pc"],
        found["classes"].tolist(),
        found["next"].data,  # asked for a number a byte of a text: as fast as its own array
        found["output"].tolist(),
        norm_probs=True,
        tk_row=found["row"].tolist(),
    )


def _unpacked_model() -> Arrays:
    """The model in the wheel: likelihoods and priors of the classes, and the automaton that finds
    its features."""
    from py3langid.langid import MODEL_DIR, MODEL_FILE
    from py3langid.modelio import load_model

    names = ("ptc", "pc", "classes", "next", "row", "output")
    unpacked = load_model(Path(MODEL_DIR) / MODEL_FILE)
    return {name: np.asarray(part) for name, part in zip(names, unpacked, strict=True)}


@cache
def _second_languages() -> frozenset[str]:
    return frozenset(map(str, _second_model().nb_classes))


def _second(line: str) -> tuple[str, float]:
    # It normalises what it reads.
    name, score = _second_model().classify(stream_safe(line))
    return str(name), min(max(float(score), 0.0), 1.0)
