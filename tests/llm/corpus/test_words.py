"""What a word is in the scripts of the world, and what that means for comparing texts."""

from __future__ import annotations

import itertools
import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.corpus.decontaminate.items import EvaluationItem
from llm.corpus.decontaminate.search import TextIndex
from llm.corpus.decontaminate.sought import Criteria, sought_texts
from llm.corpus.dedup.shingles import normalise, shingle_hashes, shingles
from llm.corpus.dedup.signatures import sign
from llm.corpus.words import pieces, words
from tests.llm.corpus.text_metrics.measured import measured

DIFFERENT = ["दिन", "दान", "दीन", "मेला", "मैला", "กิน", "กัน", "דֹּב", "דִּבּ", "عَلَم", "عِلْم"]
# Article 1 of the Universal Declaration of Human Rights and what else is needed for some length.
CRITERIA = Criteria(ngram=13, shortest=8, share=0.5, edited_share=0.9)
TEXTS = {
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है "
    "उन्हें बुद्धि और अन्तरात्मा की देन प्राप्त है और परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए",
    "Tamil": "மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர் அவர்கள் மதிப்பிலும் உரிமைகளிலும் "
    "சமமானவர்கள் அவர்கள் நியாயத்தையும் மனச்சாட்சியையும் இயற்பண்பாகப் பெற்றவர்கள் அவர்கள் ஒருவருடனொருவர் "
    "சகோதர உணர்வுப் பாங்கில் நடந்துகொள்ளல் வேண்டும்",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม "
    "และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ",
    "Khmer": "មនុស្សទាំងអស់កើតមកមានសេរីភាពនិងសមភាពក្នុងផ្នែកសេចក្ដីថ្លៃថ្នូរនិងសិទ្ធិ "
    "មនុស្សមានវិចារណញ្ញាណនិងសតិសម្បជញ្ញៈជាប់ពីកំណើតហើយគប្បីប្រព្រឹត្តចំពោះគ្នា",
    "Lao": "ມະນຸດທຸກຄົນເກີດມາມີກຽດສັກສີສິດທິເສລີພາບແລະຄວາມສະເໝີພາບເທົ່າທຽມກັນ ທຸກໆຄົນມີເຫດຜົນແລະຄວາມຄິດຄວາມອ່ານສ່ວນຕົວ",
    "Myanmar": "လူတိုင်းသည်တူညီလွတ်လပ်သောဂုဏ်သိက္ခာဖြင့်လည်းကောင်းတူညီလွတ်လပ်သောအခွင့်အရေးများဖြင့်လည်းကောင်းမွေးဖွားလာသူများဖြစ်သည်",
    "Arabic": "يُولَدُ جَمِيعُ النَّاسِ أَحْرَارًا مُتَسَاوِينَ فِي الْكَرَامَةِ وَالْحُقُوقِ وَقَدْ وُهِبُوا عَقْلًا وَضَمِيرًا وَعَلَيْهِمْ "
    "أَنْ يُعَامِلَ بَعْضُهُمْ بَعْضًا بِرُوحِ الْإِخَاءِ",
    "Hebrew": "כָּל בְּנֵי הָאָדָם נוֹלְדוּ בְּנֵי חוֹרִין וְשָׁוִים בְּעֶרְכָּם וּבִזְכֻיּוֹתֵיהֶם כֻּלָּם חוֹנְנוּ בִּתְבוּנָה וּבְמַצְפּוּן "
    "לְפִיכָךְ חוֹבָה עֲלֵיהֶם לִנְהֹג אִישׁ בְּרֵעֵהוּ בְּרוּחַ שֶׁל אַחֲוָה",
    "Japanese": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。"
    "人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければ。",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。"
    "他们赋有理性和良心，并应以兄弟关系的精神相对待。",
}
SPACED = ("Hindi", "Tamil", "Arabic", "Hebrew")


def _jaccard(one: str, other: str) -> float:
    first, second = shingles(one, 5), shingles(other, 5)
    return len(first & second) / len(first | second)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("don't STOP_it: 3.14 café", ["don", "t", "STOP_it", "3", "14", "café"]),
        ("दिन दान", ["दिन", "दान"]),
        ("நல்வரவு", ["நல்வரவு"]),
        ("שָׁלוֹם־עוֹלָם", ["שָׁלוֹם", "עוֹלָם"]),
        ("مُحَمَّد", ["مُحَمَّد"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("क्\u200dष", ["क्ष"]),
        ("Donau\u00addampf\u00adschiff", ["Donaudampfschiff"]),
        ("\ufeffone\u200e \u2066two\u2069 th\u2060ree", ["one", "two", "three"]),
        ("one\u200btwo \u0661\u06dd\u0662", ["one", "two", "\u0661", "\u0662"]),
        ("\u200fשל\u200eום", ["שלום"]),
        ("京\u00adタ", ["京タ"]),
        ("❤\ufe0f e\u0301te\u0301", ["e\u0301te\u0301"]),  # a mark without a letter is no word
        ("東京タワー", ["東", "京タワ", "ー"]),
        ("用HTML写", ["用", "HTML", "写"]),
        ("\U00016f00\U00016f51x", ["\U00016f00\U00016f51x"]),  # Miao, beyond the basic plane
        ("\U00020000\U00020001", ["\U00020000", "\U00020001"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize("unseen", "\u00ad\u200c\u200d\u200e\u2060\ufeff\U000e0041")
def test_what_nobody_sees_hides_no_words(unseen: str) -> None:
    question = "Natalia sold clips to forty eight of her wonderful friends in April and then more"
    hidden = " ".join(word[:2] + unseen + word[2:] + unseen for word in question.split())
    assert shingles(hidden, 5) == shingles(question, 5)
    table, _ = sought_texts("set", [EvaluationItem("it:1", (question,))], CRITERIA)
    assert all(TextIndex(table).find([f"Before. {hidden} Behind."]))


def test_thai_vowels_stay_with_their_letters() -> None:
    found = words("กินกันที่บ้าน")
    assert "".join(found) == "กินกันที่บ้าน"
    assert not any(unicodedata.category(word[0]).startswith("M") for word in found)


@settings(deadline=None)  # the first call builds the patterns
@given(st.text())
def test_words_cover_all_letters_once_and_in_order(text: str) -> None:
    def letters(text: str) -> str:
        return "".join(re.findall(r"\w", text))

    assert "".join(letters(word) for word in words(text)) == letters(text)
    assert "".join(pieces(text)) == "".join(text.split())


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=0x2FF)))
def test_latin_words_are_those_of_the_regular_expression(text: str) -> None:
    assert words(text) == re.findall(r"\w+", text.replace("\u00ad", ""))
    assert pieces(text) == text.split()


@settings(deadline=None)
@given(
    st.text(st.sampled_from("東京とがヴ々、 aก็นา\u3099\U00020000\u200d\u00ad\u200b"), max_size=30)
)
def test_pieces_and_words_are_cut_at_the_same_letters(text: str) -> None:
    stripped = [found for piece in pieces(text) for found in words(piece)]
    assert stripped == words(text)


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in SPACED])
def test_pieces_have_the_length_of_words(name: str) -> None:
    letters = sum(character.isalnum() for character in TEXTS[name])
    most = 2.4 if name in ("Japanese", "Chinese") else 4.2
    assert 1.5 <= letters / len(words(TEXTS[name])) <= most


def test_different_short_texts_are_no_near_duplicates() -> None:
    for one, other in itertools.combinations(DIFFERENT, 2):
        assert _jaccard(one, other) == 0, (one, other)
    table = pa.table({"doc_id": [str(n) for n in range(len(DIFFERENT))], "text": DIFFERENT})
    signed = sign(table, 128, 5)
    assert len(set(signed.column("minhash").to_pylist())) == len(DIFFERENT)


@pytest.mark.parametrize("name", TEXTS)
def test_near_duplicates_are_found_in_every_script(name: str) -> None:
    """One word (or two characters) more in a text of four times the article."""
    text = "\n".join([TEXTS[name], *("".join(reversed(TEXTS[n])) for n in (name, "Chinese"))])
    changed = text.replace(" ", " 2024 ", 1) if " " in text else text[:9] + "天下" + text[9:]
    assert 0.75 < _jaccard(text, changed) < 1


@pytest.mark.parametrize("one", TEXTS)
def test_texts_of_different_scripts_share_nothing(one: str) -> None:
    for other in TEXTS:
        if other != one:
            assert _jaccard(TEXTS[one], TEXTS[other]) == 0


def test_an_insertion_moves_no_border_far_from_it() -> None:
    text = TEXTS["Chinese"] * 3
    before, after = words(text), words(text[:20] + "天" + text[20:])
    common = [word for word in before if word in set(after)]
    assert len(common) >= len(before) - 2


@pytest.mark.parametrize("name", TEXTS)
def test_contamination_finds_what_is_quoted_and_nothing_else(name: str) -> None:
    items = [EvaluationItem("set:1", (TEXTS[name],))]
    index = TextIndex(sought_texts("quiz", items, CRITERIA)[0])
    (found,) = index.find([f"1. {TEXTS[name]}. Answer: b"])
    assert [one.rule for one in found] == ["whole"]
    assert not any(index.find([text for other, text in TEXTS.items() if other != name]))


def test_four_words_of_tamil_are_not_thirteen() -> None:
    """Vowel signs that separate words made thirteen of them from four."""
    item = EvaluationItem("set:1", ("மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே",))
    table, coverage = sought_texts("quiz", [item], CRITERIA)
    assert (coverage.too_short, table.num_rows) == (1, 0)


def test_statistics_count_the_same_words() -> None:
    found = measured(TEXTS["Chinese"], "zh")
    assert found["word_count"] == len(words(TEXTS["Chinese"]))
    assert 1.5 < found["mean_word_length"] < 2.6
    assert measured(TEXTS["Hindi"], "hi")["word_count"] == len(TEXTS["Hindi"].split())


def test_hashes_are_those_of_the_shingles() -> None:
    for text in ("", "one", "one two three four five six", TEXTS["Hindi"], TEXTS["Thai"]):
        found = re.findall(r"\S+", " ".join(words(normalise(text))))
        last = max(len(found) - 5, 0)
        joined = {" ".join(found[n : n + 5]).encode() for n in range(last + 1) if found}
        assert shingles(text, 5) == joined
        assert len(shingle_hashes(text, 5)) == len(joined)
        assert shingle_hashes(text, 5).dtype == np.uint64
