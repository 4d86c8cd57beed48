"""Known texts in known encodings come back; wrong labels and cut bytes do not spoil a page."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.source.encoding import UndecodableError, codec, declared_in_page, decode

FRENCH = "L’été dernier, à Besançon, le café coûtait déjà très cher. " * 4
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 4
JAPANESE = "日本語のテキストは、漢字と仮名で書かれています。" * 6


@pytest.mark.parametrize(
    ("text", "written", "label"),
    [
        (FRENCH, "cp1252", "ISO-8859-1"),  # browsers read latin-1 as windows-1252
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "KOI8-R"),
        (JAPANESE, "cp932", "x-sjis"),
        (JAPANESE, "euc-jp", "EUC-JP"),
        ("汉字和标点，以及罕用字：㐂。", "gb18030", "gb2312"),
        ("훈민정음 똠방각하 펲시콜라", "cp949", "euc-kr"),
        ("ภาษาไทย", "cp874", "windows-874"),
    ],
)
def test_a_label_is_read_as_browsers_do(text: str, written: str, label: str) -> None:
    data = text.encode(written)
    assert decode(data, label, 0).text == text
    page = b"<html><head><meta charset='" + label.encode() + b"'></head><body>" + data
    assert decode(page, None, 0).text.endswith("<body>" + text)
    assert decode(page, "no-such-charset", 0).text.endswith("<body>" + text)


@pytest.mark.parametrize(("text", "written"), [(RUSSIAN, "cp1251"), (JAPANESE, "euc-jp")])
def test_unlabelled_text_is_detected(text: str, written: str) -> None:
    assert decode(text.encode(written), None, 0).text == text


@pytest.mark.parametrize("written", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_beats_every_label_and_is_dropped(written: str) -> None:
    assert decode(JAPANESE.encode(written), "windows-1252", 0).text == JAPANESE


def test_utf8_is_recognised_under_a_wrong_single_byte_label() -> None:
    assert decode(FRENCH.encode(), "iso-8859-1", 0).encoding == "utf-8"


def test_the_http_charset_beats_the_page() -> None:
    data = b"<meta charset=koi8-r>" + RUSSIAN.encode("cp1251")
    assert decode(data, "windows-1251", 0).text.endswith(RUSSIAN)


def test_a_cut_byte_does_not_change_the_encoding_of_the_page() -> None:
    data = (FRENCH * 5).encode()[:-3] + b"\xc3"
    decoded = decode(data, "utf-8", 0.05)
    assert (decoded.encoding, decoded.replaced) == ("utf-8", 1)
    assert "été" in decoded.text


def test_a_page_that_is_not_what_it_claims_moves_on_to_detection() -> None:
    assert decode(FRENCH.encode("cp1252"), "utf-8", 0.05).text == FRENCH


def test_nothing_fits() -> None:
    with pytest.raises(UndecodableError, match=r"utf-16-le"):
        decode(b"\xff\xfe" + b"\x00\xd8" * 50, None, 0)


@pytest.mark.parametrize(
    ("page", "label"),
    [
        (b"<META http-equiv=Content-Type content='text/html; charset=shift_jis'>", "shift_jis"),
        (b"<meta name=x content=y><meta charset = 'koi8-r'/>", "koi8-r"),
        (b"<?xml version='1.0' encoding='windows-1250'?><html/>", "windows-1250"),
        (b"<!-- <meta charset=koi8-r> --><meta charset=big5>", "big5"),
        (b"<meta charset=utf-16>", "utf-8"),
        (b"<p>charset=koi8-r</p>", None),
    ],
)
def test_declarations_in_the_page(page: bytes, label: str | None) -> None:
    assert declared_in_page(page) == label


def test_unknown_labels_are_nobodys_codec() -> None:
    assert codec("x-no-such") is None
    assert codec(" UTF8 ") == "utf-8"


@given(st.text())
def test_utf8_always_round_trips(text: str) -> None:
    text = text.lstrip("\ufeff")
    assert decode(text.encode(), "utf-8", 0).text == text


@given(st.binary(), st.sampled_from([None, "utf-8", "latin1", "utf-16", "gbk", "junk"]))
def test_any_bytes_decode_or_are_refused(data: bytes, charset: str | None) -> None:
    with contextlib.suppress(UndecodableError):
        decode(data, charset, 0.05).text.encode()


QUOTED = "A “quoted” word, and then plain words for a while. "


@pytest.mark.parametrize("text", [QUOTED * 8, QUOTED, "Plain words only. " * 20])
def test_a_last_character_cut_in_two_leaves_a_page_utf8(text: str) -> None:
    cut = text.encode() + "”".encode()[:2]
    found = decode(cut, "utf-8", 0.05)
    assert (found.text, found.encoding, found.replaced) == (text + "\ufffd", "utf-8", 1)


def test_one_stray_byte_does_not_make_a_page_windows_1252() -> None:
    undeclared = decode(QUOTED.encode() + b"\xe9 stray " + QUOTED.encode(), None, 0.05)
    assert (undeclared.encoding, undeclared.replaced) == ("utf-8", 1)
    found = decode(QUOTED.encode() + b"\xe9 stray " + QUOTED.encode(), "utf-8", 0.05)
    assert (found.encoding, found.replaced) == ("utf-8", 1)
    assert found.text.count("“quoted”") == 2


def test_an_accent_or_two_that_are_all_invalid_are_windows_1252() -> None:
    page = "The café at the corner, " + "and plain words. " * 40
    assert "café" in decode(page.encode("cp1252"), "utf-8", 0.05).text
    assert decode("Un bon café".encode("cp1252"), "utf-8", 0.05).text == "Un bon café"


CHINESE = "汉字和标点，以及一些常用的句子。今天天气很好，我们去公园散步。"
KOREAN = "오늘은 날씨가 매우 좋습니다. 우리는 공원에 갑니다."
LEGACY = (
    *("gb2312", "gbk", "gb18030", "big5", "shift_jis", "euc-jp", "euc-kr", "iso-2022-jp"),
    *("windows-1252", "windows-1251", "koi8-r", "tis-620", "utf-16", "hz-gb-2312", "x-unknown"),
)


@pytest.mark.parametrize("text", [CHINESE, JAPANESE, KOREAN, FRENCH, RUSSIAN, "一个© 2024 café"])
@pytest.mark.parametrize("label", LEGACY)
def test_utf8_beats_every_label(text: str, label: str) -> None:
    page = f"<html><head><meta charset={label}></head><body>{text}</body></html>"
    for charset in (label, None):
        found = decode(page.encode(), charset, 0.05)
        assert (found.encoding, found.text) == ("utf-8", page)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (JAPANESE, "iso2022_jp"),
        (JAPANESE + "ｶﾀｶﾅ", "iso2022_jp_ext"),
        (JAPANESE + "© é", "iso2022_jp_2"),
        (KOREAN, "iso2022_kr"),
        (CHINESE, "hz"),
    ],
)
@pytest.mark.parametrize("label", [None, "utf-8", "us-ascii", "iso-8859-1", "gb2312"])
def test_escape_sequences_are_seen_under_any_label(
    text: str, written: str, label: str | None
) -> None:
    page = f"<html><head><title>{text}</title></head><body>\n<p>{text}</p>\n</body></html>"
    assert decode(page.encode(written), label, 0).text == page


def test_hz_with_tildes_of_its_own() -> None:
    data = b"http://x.org/~user/ " + CHINESE.encode("hz") + b" and ~ alone"
    assert decode(data, None, 0).text == f"http://x.org/~user/ {CHINESE} and ~ alone"


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mred\x1b[0m and \x1b$ is no alphabet",
        "my %h = ~{ab}~; s/~{x}~/~{y}~/",
        "~{function names in here~}",
        "a ~~ b, http://x.org/~{user}",
    ],
)
def test_ascii_with_escapes_stays_ascii(text: str) -> None:
    assert decode(text.encode(), None, 0).text == text


def test_bad_bytes_are_measured_against_the_page() -> None:
    page = "An English page of ordinary prose. " * 300
    bad = page.encode() + b"Kouga\xef and Kouga\xef again, caf\xc3\xa9."
    found = decode(bad, "utf-8", 0.05)
    assert (found.encoding, found.replaced) == ("utf-8", 2)
    assert found.text.endswith("café.")
    with pytest.raises(UndecodableError):
        decode(bad, "utf-8", 0)
    # More than one in a thousand, and no character beyond ASCII that would speak for UTF-8.
    assert decode(b"Kouga\xef " * 20 + page.encode(), "utf-8", 0.05).encoding != "utf-8"


NEARLY = ("iso-8859-1", "windows-1251", "koi8-r", "gbk", "big5", "shift_jis", "euc-kr", None)


@pytest.mark.parametrize("text", [CHINESE, JAPANESE, KOREAN, FRENCH * 3, RUSSIAN])
@pytest.mark.parametrize("label", NEARLY)
def test_one_bad_byte_leaves_a_page_utf8_under_any_label(text: str, label: str | None) -> None:
    page = text.encode()
    for bad in (page + b"\xa0x", page + b" \xff " + page, page + "é".encode()[:1]):
        found = decode(bad, label, 0.05)
        assert (found.encoding, found.replaced) == ("utf-8", 1)
        assert found.text.startswith(text)


OF_OTHERS = [
    (CHINESE, "gbk"),
    (CHINESE, "gb18030"),
    ("漢字與標點，以及一些常用的句子。今天天氣很好。", "big5"),
    (JAPANESE, "shift_jis"),
    ("ﾃｽﾄ ｶﾞｲﾄﾞ ﾊﾝｶｸ ｶﾅ ﾉ ﾍﾟｰｼﾞ " * 4, "shift_jis"),
    (JAPANESE, "euc-jp"),
    (KOREAN, "euc-kr"),
    (FRENCH, "windows-1252"),
    (RUSSIAN, "windows-1251"),
    (RUSSIAN.upper(), "windows-1251"),
    (RUSSIAN, "koi8-r"),
    ("Η γρήγορη αλεπού πηδάει πάνω από το σκυλί. " * 4, "iso-8859-7"),
    ("ภาษาไทยเป็นภาษาที่มีระดับเสียง " * 4, "windows-874"),
]


@pytest.mark.parametrize(("text", "label"), OF_OTHERS)
def test_texts_of_other_encodings_are_not_nearly_utf8(text: str, label: str) -> None:
    page = f"<html><head><meta charset={label}></head><body>{text}</body></html>"
    data = page.encode(codec(label) or label)
    assert decode(data, label, 0.05).text == page
    assert decode(data, None, 0.05).text == page


def test_a_page_in_an_alphabet_of_its_own_with_few_words_in_another_keeps_its_label() -> None:
    # Four characters of UTF-8 in a page of windows-1251 are no page of UTF-8.
    data = RUSSIAN.encode("cp1251") + "цена".encode()
    assert decode(data, "windows-1251", 0.05).encoding == "cp1251"


@pytest.mark.parametrize(("text", "written"), [(KOREAN * 4, "euc-kr"), (KOREAN * 4, "cp949")])
def test_unlabelled_korean_is_detected(text: str, written: str) -> None:
    assert decode(text.encode(written), None, 0.05).text == text


HZ_TILDES = "我们服务器的文件由政府的软件保存，这是一座古老的建筑。"


def test_hz_whose_characters_have_tildes_for_second_bytes() -> None:
    assert HZ_TILDES.encode("hz").count(b"~") > 4
    data = b"http://x.org/~user/ ~~ " + HZ_TILDES.encode("hz") + b" and ~ alone"
    assert decode(data, None, 0).text == f"http://x.org/~user/ ~ {HZ_TILDES} and ~ alone"


@pytest.mark.parametrize("said", ["~{'~A'~}", '~{"~A"~}', "~{(%D)~}", "~{(~A)~}", "~{~A~}"])
def test_a_page_of_lisp_is_not_hz(said: str) -> None:
    page = f'<p>See http://a.org/~bob/ and ~/.sbclrc.</p><pre>(format t "{said}" names)</pre>'
    for label in (None, "utf-8"):
        assert decode(page.encode(), label, 0.05).text == page
