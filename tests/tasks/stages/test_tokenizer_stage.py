"""tokenizer through the engine: the sample, the files, the fertility, what is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer

from llm.tokens.hf_folder import FILES
from tasks.engine.errors import ExternalInputError
from tasks.panels.panels import Table
from tasks.stages.tokenizer import TokenizerConfig, UnusableCorpusError, panels
from tests.llm.foreign_models import foreign_tokenizer
from tests.llm.tokens.small_tokenizer import library_texts
from tests.tasks.documents_stage import data_id, rows
from tests.tasks.split_documents import built, document

SHARED = Path(__file__).parents[3].parent / "shared" / "data"


def paragraphs(source: int) -> list[str]:
    return sorted({part for part in library_texts()[source].split("\n\n") if len(part) > 30})


CODE = [document(text, "code") for text in paragraphs(0)]
MORE = [document(text, "more") for text in paragraphs(3)]
HELD = [document(text, "code", "validation") for text in paragraphs(1)[:20]]
BAD = [document(None, "code"), document("", "more")]
PARTS = [CODE, [*MORE, *HELD], BAD]
CONFIG = TokenizerConfig(vocabulary_size=640, sample_bytes=40_000, fertility_bytes=10_000)


def test_every_document_is_sampled_or_accounted_for(tmp_path: Path) -> None:
    done = built(tmp_path, PARTS, tokenizer=CONFIG)
    totals, facts = done["tokenizer"].artifact.manifest.totals, done["tokenizer"].artifact.facts
    assert totals.rows_in == sum(map(len, PARTS))
    assert totals.removed["not_train"] == len(HELD)
    assert totals.rejected == {"no_text": 2}
    sampled = rows(done, "tokenizer", "sampled")
    texts = {row["doc_id"]: row["text"] for row in [*CODE, *MORE]}
    assert {row["doc_id"] for row in sampled} < set(texts)
    assert all(row["bytes"] == len(texts[row["doc_id"]].encode()) for row in sampled)
    assert 39_000 < sum(row["bytes"] for row in sampled) <= 40_000
    assert facts["sampled_bytes"] == sum(row["bytes"] for row in sampled)
    unsampled = {row["doc_id"]: row["reason"] for row in rows(done, "tokenizer", "unsampled")}
    assert {unsampled[row["doc_id"]] for row in HELD} == {"not_train"}


def test_a_source_that_is_not_learned_from_changes_no_token(tmp_path: Path) -> None:
    """The one named alone, and beside another: the same bytes."""
    assert "sources" not in CONFIG.identity()
    config = CONFIG.model_copy(update={"sources": ["code"]})
    beside = built(tmp_path / "both", PARTS, tokenizer=config)
    alone = built(tmp_path / "one", [CODE], tokenizer=CONFIG)
    assert data_id(beside, "tokenizer", "tokenizer") == data_id(alone, "tokenizer", "tokenizer")
    assert data_id(beside, "tokenizer", "sampled") == data_id(alone, "tokenizer", "sampled")
    reasons = {row["doc_id"]: row["reason"] for row in rows(beside, "tokenizer", "unsampled")}
    assert {reasons[row["doc_id"]] for row in MORE} == {"other_source"}
    with pytest.raises(UnusableCorpusError, match=r"look at tokenizer\.sources"):
        built(tmp_path, PARTS, tokenizer=CONFIG.model_copy(update={"sources": ["wiki"]}))


def test_files_and_their_hash(tmp_path: Path) -> None:
    artifact = built(tmp_path, PARTS, tokenizer=CONFIG)["tokenizer"].artifact
    folder = artifact.data("tokenizer").folder()
    assert {path.name for path in folder.iterdir()} == set(FILES)
    content = (folder / "tokenizer.json").read_bytes()
    assert artifact.facts["sha256"] == hashlib.sha256(content).hexdigest()
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size() == 640
    assert artifact.facts["vocabulary_size"] == 640


def test_other_parts_and_order_give_the_same_bytes(tmp_path: Path) -> None:
    one = built(tmp_path / "one", PARTS, tokenizer=CONFIG)
    together = [row for part in PARTS for row in part][::-1]
    two = built(tmp_path / "two", [together[:33], together[33:]], tokenizer=CONFIG)
    for output in ("tokenizer", "fertility", "sampled", "unsampled"):
        assert data_id(one, "tokenizer", output) == data_id(two, "tokenizer", output), output


def test_validation_text_changes_no_token(tmp_path: Path) -> None:
    one = built(tmp_path / "one", PARTS, tokenizer=CONFIG)
    other = [document(text, "code", "validation") for text in paragraphs(2)]
    two = built(tmp_path / "two", [CODE, MORE, other], tokenizer=CONFIG)
    assert data_id(one, "tokenizer", "tokenizer") == data_id(two, "tokenizer", "tokenizer")


def test_another_seed_learns_from_other_documents(tmp_path: Path) -> None:
    one = built(tmp_path / "one", PARTS, tokenizer=CONFIG)
    two = built(tmp_path / "two", PARTS, tokenizer=CONFIG.model_copy(update={"seed": 1}))
    assert data_id(one, "tokenizer", "sampled") != data_id(two, "tokenizer", "sampled")
    assert data_id(one, "tokenizer", "tokenizer") != data_id(two, "tokenizer", "tokenizer")


def by_id(row: dict[str, Any]) -> str:
    return str(row["doc_id"])


def test_fertility_of_each_source_and_split(tmp_path: Path) -> None:
    done = built(tmp_path, PARTS, tokenizer=CONFIG)
    found = {(row["source"], row["split"]): row for row in rows(done, "tokenizer", "fertility")}
    assert list(found) == [("code", "train"), ("code", "validation"), ("more", "train")]
    path = done["tokenizer"].artifact.data("tokenizer").folder() / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    held = found["code", "validation"]
    texts = [row["text"] for row in HELD]
    assert sum(len(text.encode()) for text in texts) <= 10_000  # so all of it is measured
    assert held["documents"] == len(texts)
    assert held["tokens"] == sum(len(tokenizer.encode(text).ids) for text in texts)
    assert held["words"] == sum(len(text.split()) for text in texts)
    assert held["tokens_per_word"] == held["tokens"] / held["words"]
    assert held["bytes_per_token"] == held["bytes"] / held["tokens"]
    assert found["code", "train"]["bytes"] <= 10_000
    shown = {panel.title: panel for panel in panels(done["tokenizer"].artifact)}
    assert isinstance(shown["Fertility"], Table)
    assert [row[:2] for row in shown["Fertility"].rows] == [list(key) for key in found]
    cut = shown["A sentence, cut into tokens"]
    assert isinstance(cut, Table)
    [[sentence, tokens, words, pieces]] = cut.rows
    first = min((row for part in PARTS for row in part if row["split"] == "train"), key=by_id)
    assert str(sentence) in first["text"]
    offsets = tokenizer.encode(str(sentence)).offsets
    assert (tokens, words) == (len(offsets), len(str(sentence).split()))
    wanted = [str(sentence)[start:end].replace(" ", "·") for start, end in offsets]
    assert pieces == " | ".join(wanted)


def test_a_small_corpus_gives_a_smaller_vocabulary_and_says_so(tmp_path: Path) -> None:
    config = TokenizerConfig(vocabulary_size=65_536, sample_bytes=20_000)
    facts = built(tmp_path, PARTS, tokenizer=config)["tokenizer"].artifact.facts
    assert facts["vocabulary_size_asked"] == 65_536
    assert facts["vocabulary_size"] % 128 == 0
    assert 384 <= facts["vocabulary_size"] < 65_536


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (HELD, "none of 0 training documents"),
        ([document("x" * 2_000)], "sample_bytes = 1000"),
        ([document("too short")], "give more text"),
        ([], "no documents"),
    ],
)
def test_a_corpus_nothing_can_be_learned_from(
    tmp_path: Path, documents: list, message: str
) -> None:
    config = TokenizerConfig(vocabulary_size=640, sample_bytes=1_000)
    with pytest.raises(UnusableCorpusError, match=message):
        built(tmp_path, [documents], tokenizer=config)


def test_a_vocabulary_is_a_multiple_of_128() -> None:
    with pytest.raises(ValidationError, match="multiple of 128"):
        TokenizerConfig(vocabulary_size=10_000)


def test_real_prose_is_compressed_as_such_tokenizers_do(tmp_path: Path) -> None:
    path = SHARED / "text" / "digitalgov_md.jsonl.gz"
    if not path.is_file():
        pytest.skip("needs text/digitalgov_md.jsonl.gz of the shared data beside the checkout")
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as stream:
        texts = [json.loads(line)["text"] for line, _ in zip(stream, range(600), strict=False)]
    documents = [document(text, "gov", "validation" if n % 20 == 0 else "train")
                 for n, text in enumerate(texts)]  # fmt: skip
    config = TokenizerConfig(vocabulary_size=4_096, sample_bytes=2_000_000)
    done = built(tmp_path, [documents], tokenizer=config)
    found = {row["split"]: row for row in rows(done, "tokenizer", "fertility")}
    assert 1.2 < found["validation"]["tokens_per_word"] < 2.0
    assert 3.2 < found["validation"]["bytes_per_token"] < 4.8
    gap = found["train"]["bytes_per_token"] - found["validation"]["bytes_per_token"]
    assert -0.2 < gap < 0.6


def test_a_tokenizer_is_taken_instead_of_learned(tmp_path: Path) -> None:
    foreign_tokenizer("gpt2").save_pretrained(tmp_path / "mine")
    config = CONFIG.model_copy(update={"from_folder": str(tmp_path / "mine")})
    artifact = built(tmp_path, PARTS, tokenizer=config)["tokenizer"].artifact
    reasons = artifact.manifest.totals.removed
    assert reasons == {"not_train": len(HELD), "given": len(CODE) + len(MORE)}
    theirs = Tokenizer.from_file(str(tmp_path / "mine" / "tokenizer.json"))
    ours = Tokenizer.from_file(str(artifact.data("tokenizer").folder() / "tokenizer.json"))
    text = CODE[0]["text"]
    assert ours.encode(text).ids == theirs.encode(text).ids
    assert artifact.facts["vocabulary_size"] == theirs.get_vocab_size() + 3
    assert artifact.data("fertility").table().num_rows == 3
    # Where it lies is no part of it, what it is, is.
    assert config.identity() == CONFIG.identity()
    assert artifact.manifest.externals["given"].data_id
    (tmp_path / "mine" / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    with pytest.raises(ExternalInputError, match=r"tokenizer\.from_folder"):
        built(tmp_path, PARTS, tokenizer=config)
