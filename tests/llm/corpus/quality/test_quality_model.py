"""The classifier: byte-identical training, scores, and texts that mention fastText's marks."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from llm.corpus.quality.classifier import (
    FastTextSettings,
    QualityClassifier,
    QualityModelError,
    QualityTrainingError,
    buckets_for,
    epochs_for,
    normalise,
    train,
    write_lines,
)

SETTINGS = FastTextSettings(
    dim=16, learning_rate=0.5, epochs=5, word_ngrams=2, min_count=1, bucket=1000, seed=3
)
GOOD = ["because", "therefore", "which", "river", "history"]
BAD = ["buy", "now", "cheap", "deal", "click"]


def texts(count: int = 300) -> list[tuple[bool, str]]:
    draw = random.Random(5)
    return [
        (good, " ".join(draw.choices((GOOD if good else BAD) + ["the", "of"], k=30)))
        for good in [True, False] * (count // 2)
    ]


def trained(given: list[tuple[bool, str]], path: Path) -> None:
    write_lines(given, path / "lines.txt")
    train(path / "lines.txt", SETTINGS, path / "model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quality")
    trained(texts(), path)
    return path / "model"


def test_equal_data_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    trained(texts(), tmp_path)
    for name in ("model.bin", "model.json"):
        first, second = folder / name, tmp_path / "model" / name
        assert hashlib.sha256(first.read_bytes()).digest() == (
            hashlib.sha256(second.read_bytes()).digest()
        )


def test_scores_tell_the_classes_apart(folder: Path) -> None:
    model = QualityClassifier(folder)
    good, bad, mixed = model.score([" ".join(GOOD), " ".join(BAD), " ".join(GOOD + BAD)])
    assert good > 0.9 > mixed > 0.1 > bad
    assert model.score([]) == []
    assert 0 <= model.score([""])[0] <= 1


def test_layout_and_marks_do_not_change_a_score(folder: Path) -> None:
    model = QualityClassifier(folder)
    plain = "because the river </s> buy now __label__hq deal"
    first, second = model.score([plain, plain.replace(" ", "\n\n\t ")])
    assert first == second
    # Read to the end: what follows a literal end-of-sentence mark counts.
    (cut,) = model.score(["because the river"])
    assert cut != first


def test_passes_make_up_for_few_texts_and_buckets_for_many_words() -> None:
    assert [epochs_for(n) for n in (40, 100, 480, 1999, 2000, 400_000)] == [250, 100, 21, 6, 5, 5]
    assert buckets_for(["a b c"] * 9) == 1 << 13
    assert buckets_for(["a b c d e f g h"] * (1 << 14)) == 1 << 14
    assert buckets_for(["a b c d e f g h"] * ((1 << 14) + 1)) == 1 << 15
    assert buckets_for(["a " * (1 << 20)] * 64) == 1 << 21


def test_normalised_form() -> None:
    assert normalise("  A\tb\r\n\nC </s> d\0e __label__x ") == "A b C d e x"


def test_another_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(QualityModelError, match=r"model\.bin"):
        QualityClassifier(tmp_path)


def test_nothing_to_learn_from_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(QualityTrainingError, match="could not train"):
        trained([], tmp_path)
