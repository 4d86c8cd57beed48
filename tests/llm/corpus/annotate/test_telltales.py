"""Languages told from the neighbours that models take them for, by words and letters."""

from __future__ import annotations

import pytest

from llm.corpus.annotate.language import LanguageIdentifier
from llm.corpus.annotate.telltales import _ALL, told
from llm.corpus.text_metrics.languages import lists_of, stop_words
from llm.corpus.text_metrics.text_counts import NO_LIST
from tests.language_model import language_model

OSSETIAN = "Ӕз дӕн ирон лӕппу, ме ʼмбӕлттӕ дӕр цӕрынц ацы хъӕуы ӕмӕ кусынц быдыры."
CHUVASH = "Эпӗ Шупашкарта пурӑнатӑп, манӑн тӑван чӗлхе чӑваш чӗлхи, эпӗ ӑна юрататӑп."
IDO = "La hundo esas en la domo, ed omna kati quin me vidas sur la yusta strado esas nigra."


@pytest.mark.parametrize(
    ("text", "taken_for", "script", "language"),
    [
        (OSSETIAN, "ba", "Cyrl", "os"),
        (OSSETIAN.replace("ӕ", "æ").replace("Ӕ", "Æ"), "ru", "Cyrl", "os"),
        (CHUVASH, "ba", "Cyrl", "cv"),
        ("Мин башҡорт телендә һөйләшәм һәм яҙам.", "ba", "Cyrl", "ba"),
        ("Мать и отец живут в городе, а я в деревне.", "ru", "Cyrl", "ru"),
        (IDO, "eo", "Latn", "io"),
        ("La hundo estas en la domo, kaj ĉiuj katoj estas nigraj.", "eo", "Latn", "eo"),
        # A name has letters that the language has not.
        ("Wikipedia estas enciklopedio, kiun ĉiu rajtas legi kaj plibonigi.", "eo", "Latn", "eo"),
        ("U mo babbu hà dettu chì ùn pò micca vene cù noi.", "it", "Latn", "co"),
        ("Mio padre ed io, od altri, quale che sia il motivo, non veniamo.", "it", "Latn", "it"),
        ("Anjing nu aya di imah eta teu gering, jeung ieu ucing ogé.", "jv", "Latn", "su"),
        ("Asu sing ana ing omah iku ora lara, lan kucing iki uga.", "jv", "Latn", "jv"),
        ("Ta ny paitchyn ayns y thie shoh rish dagh dooinney.", "cy", "Latn", "gv"),
        ("Mae'r plant yn y tŷ hwn gyda phob dyn o'r pentref.", "cy", "Latn", "cy"),
        ("Sos canes e sas gattas de custa domo sunt totus nieddos.", "ext", "Latn", "sc"),
        # Neighbours have none of it, and other languages are not asked for it.
        (IDO, "de", "Latn", "de"),
        ("", "it", None, "it"),
    ],
)
def test_what_a_language_alone_has(
    text: str, taken_for: str, script: str | None, language: str
) -> None:
    assert told(text, taken_for, script) == language


def test_one_word_is_no_evidence() -> None:
    assert told("The poem is called ghjente", "it", "Latn") == "it"
    italian = "la casa della madre era bella e grande " * 10
    assert told(f"{italian} ghjente ghjustizia", "it", "Latn") == "it"  # 2 words in 82
    assert told(f"{italian[:160]} ghjente ghjustizia", "it", "Latn") == "co"


def test_no_telltale_is_a_frequent_word_of_a_neighbour() -> None:
    lists, known = stop_words().lists, 0
    for each in _ALL:
        for neighbour, place in zip(
            sorted(each.neighbours), lists_of(sorted(each.neighbours)), strict=True
        ):
            if place != NO_LIST:
                known += 1
                common = each.words & set(lists[place])
                assert not common, (each.language, neighbour, common)
    assert known > 20


def test_models_and_telltales_together() -> None:
    identifier = LanguageIdentifier(language_model(), 0, False)
    found = identifier.identify([OSSETIAN, CHUVASH, IDO])
    assert [item.language for item in found if item] == ["os", "cv", "io"]
    (alone,) = LanguageIdentifier(language_model(), 0, True).identify([OSSETIAN])
    assert alone
    assert alone.language != "os"
