"""What benchmarks/mixture.py makes of the texts it is given."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from benchmarks.mixture import texts, write_sources
from tasks.stages.source_config import SourceConfig


def test_texts_are_cut_into_documents_and_nothing_is_lost(tmp_path: Path) -> None:
    play = "\n\n".join(f"Speaker {number}:\n{'word ' * 100}" for number in range(30))
    heading = " = Title = \n \n text \n = = Section = = \n more \n = Other = \n text \n"
    rows = [{"text": "one"}, {"text": "two\u2028lines"}]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    for name, text in {
        "digitalgov_md.jsonl": lines,
        "storybooks_en.jsonl": lines,
        "tinyshakespeare.txt": play,
        "wiki_articles_30.txt": "first article\nsecond article\n",
        "wikitext2_valid.txt": heading,
        "wikitext2_test.txt": heading,
    }.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    found = texts(tmp_path)
    assert found["digitalgov"] == found["storybooks"] == ["one", "two\u2028lines"]
    assert "".join(found["shakespeare"]).strip() == play.strip()
    assert 3 <= len(found["shakespeare"]) <= 5
    assert len(found["wikipedia"]) == 2 + 2 * 2
    assert sum("Section" in text for text in found["wikipedia"]) == 2
    sources = write_sources(found, tmp_path / "texts")
    config = SourceConfig.model_validate({"sources": sources})
    assert config.names == ["digitalgov", "shakespeare", "storybooks", "wikipedia"]
    read = Path(config.sources[0].paths[0]).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in read] == found["digitalgov"]
