"""Language identification with fastText's lid.176.

Reference: Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification", and
the model card of lid.176: 176 languages, ISO 639 codes, trained on Wikipedia,
Tatoeba and SETimes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from llm.errors import ExpectedError

_LABEL = "__label__"
_LETTER = re.compile(r"[^\W\d_]")
# A newline is an error to fastText, and "</s>" as a word ends the line: what follows it would
# be ignored.
_MARKS = str.maketrans({"\n": " ", "<": " ", ">": " "})


class LanguageModelError(ExpectedError, ValueError):
    """A file is not a fastText language model; names it and what to do."""


class LanguageIdentifier:
    """A loaded language model.

    Args:
        path: a supervised fastText model whose labels are language codes (lid.176.ftz).
        characters: how much of the beginning of a text is read; 0 for all.

    Raises:
        LanguageModelError: the file is no such model.
    """

    def __init__(self, path: Path, characters: int) -> None:
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
        self._characters = characters

    def identify(self, texts: Sequence[str]) -> list[tuple[str, float] | None]:
        """Language code and probability in [0, 1] of each text; `None` for one without letters.

        Newlines and angle brackets are read as spaces; case is kept, as in training.
        """
        found: list[tuple[str, float] | None] = [None] * len(texts)
        lines, places = [], []
        for place, text in enumerate(texts):
            line = (text[: self._characters] if self._characters else text).translate(_MARKS)
            if _LETTER.search(line):
                lines.append(line)
                places.append(place)
        if lines:
            labels, scores = self._model.predict(lines, k=1)
            for place, names, values in zip(places, labels, scores, strict=True):
                # Quantised models give probabilities a little above 1.
                score = min(max(float(values[0]), 0.0), 1.0)
                found[place] = (names[0].removeprefix(_LABEL), score)
        return found
