"""A page is taken out of a recipe that was built: what held it, what is rebuilt, what is proved."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from llm.corpus.forget.opt_outs import Entry, OptOutFileError, OptOuts
from tasks.engine.config import StageConfig
from tasks.engine.declare import Input, Output
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage, registry
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.forget import tombstones
from tasks.forget.certificate import WINDOW, Certificate, marks, shared_texts
from tasks.forget.holders import every_attempt, held
from tasks.forget.removal import (
    NothingToForgetError,
    data_stages,
    issue,
    look_up,
    write_tombstones,
)
from tasks.forget.texts import in_force, trained_on
from tasks.forget.words import document, found_in_words, verdict
from tasks.panels.panels import Panel
from tasks.stages import clean, dedup, index, pack, source, tokenizer
from tests.llm.tokens.small_tokenizer import library_texts

FILES, A_FILE = 6, 10
URL = "https://shop.example/12"


def _learn(config: StageConfig, inputs: Inputs, out: Out) -> None:
    (out.folder("model") / "weights").write_text(next(iter(inputs.values())).data_id)


def _panels(artifact: Artifact) -> list[Panel]:
    return []


def _stand_in(name: str, source: str) -> Stage:
    """A stage that makes a model of what it reads."""
    return Stage(
        name=name,
        version=1,
        description="Stands for training.",
        config=StageConfig,
        inputs={"read": Input((source,), "What it learns from.")},
        outputs={"model": Output("A file.")},
        run=_learn,
        panels=_panels,
        makes_model=name,
    )


STAGES: Mapping[str, Stage] = registry(
    [
        *(module.STAGE for module in (source, clean, dedup, tokenizer, pack, index)),
        _stand_in("pretrain", "pack.sequences"),
        _stand_in("sft", "pretrain.model"),
    ]
)


def texts() -> list[str]:
    """In another file than 12 has 41 its words with another end, and 55 a few of them."""
    found = sorted({part for part in library_texts()[0].split("\n\n") if len(part) > 200})
    found[41] = f"{found[12]} And this is all that was added."
    found[55] = f"{found[55]} It says: {' '.join(found[12].split())[:90]}"
    return found[: FILES * A_FILE]


def write_pages(folder: Path, written: list[str]) -> None:
    folder.mkdir(parents=True)
    for number in range(FILES):
        rows = [
            {"text": f"<p>{html.escape(text)}</p>", "url": f"https://shop.example/{at}"}
            for at, text in list(enumerate(written))[number * A_FILE : (number + 1) * A_FILE]
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{number}.jsonl").write_text(lines)


@dataclass
class Home:
    """A recipe that is built again and again."""

    store: Store
    pages: Path
    stages: tuple[str, ...] = tuple(STAGES)

    def planner(self, only: tuple[str, ...] = ()) -> Planner:
        spec = {"name": "shop", "paths": [str(self.pages)], "row_type": "text/html"}
        configs: dict[str, StageConfig] = {
            "source": source.SourceConfig.model_validate({"workers": 1, "sources": [spec]}),
            "clean": clean.CleanConfig(workers=1),
            "dedup": dedup.DedupConfig(workers=1, validation_fraction=0.2),
            "tokenizer": tokenizer.TokenizerConfig(vocabulary_size=512, sample_bytes=20_000),
            "pack": pack.PackConfig(workers=1, sequence_length=32),
            "index": index.IndexConfig(workers=1),
            "pretrain": StageConfig(),
            "sft": StageConfig(),
        }
        configs = {name: configs[name] for name in self.stages}
        configs = tombstones.with_forgotten(configs, self.store)
        wired = chain(STAGES, configs)
        return Planner(wired, configs, "shop", self.store, Selection(only=only))

    def build(self, only: tuple[str, ...] = ()) -> dict[str, BuildResult]:
        return build(self.planner(only))

    def forget(self, *asked: str, near: bool = False) -> tuple[Certificate, str]:
        found = look_up(self.store, "shop", asked, near, texts=True)
        write_tombstones(self.store, found, "by letter")
        done = self.build(tuple(data_stages(self.planner().chain)))
        return issue(self.store, "shop", found, [each.artifact for each in done.values()])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_pages(folder / "pages", texts())
    Home(Store(str(folder / "home")), folder / "pages").build()
    return folder


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Home:
    """A home of the test's own, with everything built."""
    shutil.copytree(built / "home", tmp_path / "home")
    return Home(Store(str(tmp_path / "home")), built / "pages")


@pytest.fixture
def data_alone(built: Path, tmp_path: Path) -> Home:
    """Of a recipe without tokenizer and models."""
    made = Home(Store(str(tmp_path / "home")), built / "pages", ("source", "clean", "dedup"))
    made.build()
    return made


def in_training(store: Store, doc_id: str) -> bool:
    """Whether the page is in the train split, where models read it."""
    [held_out] = [
        row["split"] == "validation"
        for artifact in every_attempt(store)
        if artifact.stage == "dedup"
        for row in artifact.data("documents").table(["doc_id", "split"]).to_pylist()
        if row["doc_id"] == doc_id
    ]
    return not held_out


def test_from_tombstone_to_certificate(shop: Home) -> None:
    # Three pages, of which one at least is trained on.
    asked = ["https://shop.example/22", "shop.example/23", "https://shop.example/24?utm_source=x"]
    before = look_up(shop.store, "shop", asked, near=False, texts=False)
    assert [page.url.rpartition("/")[2] for page in before.held.pages] == ["22", "23", "24"]
    trained = [page for page in before.held.pages if in_training(shop.store, page.doc_id)]
    assert trained
    names = {holder.artifact.stage for holder in before.held.holders if holder.rows}
    assert names == {"source", "clean", "dedup", "pack", "index"}
    learned = {holder.artifact.stage for holder in before.held.holders if holder.learned}
    assert learned == {"tokenizer", "pretrain", "sft"}
    assert {holder.artifact.stage for holder in before.held.models} == {"pretrain", "sft"}
    assert "3 pages, in 60 rows of pages looked through" in found_in_words(before.held)

    certificate, path = shop.forget(*asked)
    assert certificate.holds, document(certificate)
    assert (certificate.ids_in_force, certificate.shared) == (0, [])
    assert certificate.searched_texts == FILES * A_FILE - 4, "and the near-duplicate"
    by_stage = {each.stage: each for each in certificate.rebuilt}
    assert list(by_stage) == ["source", "clean", "dedup", "tokenizer", "pack", "index"]
    # Two files of the six had them; the pages of the others are what they were.
    assert by_stage["source"].shards_adopted == FILES - 1
    models = {each.artifact.partition("/")[0] for each in certificate.models}
    assert models == {"pretrain", "sft"}
    assert all(each.in_force == ["shop@latest"] for each in certificate.models)
    assert {len(marks(each)) for each in every_attempt(shop.store) if each.stage == "sft"} == {1}
    fresh = {f"{each.stage}/{each.build_id[:16]}/{each.attempt}" for each in certificate.rebuilt}
    assert not fresh & {each.artifact for each in certificate.still_held}
    assert "0 texts of 56" in verdict(certificate)
    assert "2 models from before" in verdict(certificate)
    written = Path(path).read_text() + Path(path).with_suffix(".md").read_text()
    assert all(line not in written for line in texts()[22].split("\n") if len(line) > 60)

    # Trained again, nothing in force holds them; what they were stays known without their pages.
    shop.build()
    for manifest in Path(shop.store.full("artifacts/source")).rglob("manifest.json"):
        manifest.unlink()
    after = look_up(shop.store, "shop", asked, near=False, texts=False)
    assert len(after.held.pages) == 3
    assert {each.artifact.stage for each in after.held.models} == {"pretrain", "sft"}
    assert not [holder for holder in after.held.models if holder.in_force]


def test_suffix_arrays_find_what_reading_all_texts_finds(shop: Home) -> None:
    # Text 41 begins with all of 12, and 55 quotes it.
    certificate, _ = shop.forget(URL)
    artifacts = in_force(shop.store, "shop")
    assert certificate.searched_by == artifacts["index"].folder.removeprefix("artifacts/")
    of_it = artifacts["index"].data("trained").rows
    with_words = len(certificate.shared)
    assert of_it - with_words <= certificate.by_suffix_arrays < of_it
    removed = look_up(shop.store, "shop", [URL], near=False, texts=True).texts
    read = shared_texts([text.encode() for text in removed.values()], trained_on(artifacts))
    assert read.by_index == 0
    assert (read.texts, read.bytes) == (certificate.searched_texts, certificate.searched_bytes)
    told = {each.doc_id: (each.longest_bytes, each.shared_bytes) for each in certificate.shared}
    assert told == {one.doc_id: (one.longest, one.shared_bytes) for _, one, _ in read.found}
    assert {str(each.url).rpartition("/")[2] for each in certificate.shared} == {"41", "55"}
    assert all(each.longest_bytes >= WINDOW for each in certificate.shared)


def test_only_the_split_that_is_learned_from_makes_a_model_hold_a_page(shop: Home) -> None:
    [artifact] = [each for each in every_attempt(shop.store) if each.stage == "dedup"]
    rows = artifact.data("documents").table(["doc_id", "split"]).to_pylist()
    held_out = next(row["doc_id"] for row in rows if row["split"] == "validation")
    found = held(shop.store, OptOuts([Entry("doc_id", held_out)]))
    assert "pack" in {holder.artifact.stage for holder in found.holders if holder.rows}
    assert not [holder for holder in found.holders if holder.learned]


def test_a_near_duplicate_that_comes_back_is_named_and_can_go_too(data_alone: Home) -> None:
    written = texts()
    [artifact] = [each for each in every_attempt(data_alone.store) if each.stage == "dedup"]
    urls = set(artifact.data("documents").table(["url"]).column("url").to_pylist())
    kept, other = (URL, 41) if URL in urls else ("https://shop.example/41", 12)
    assert f"https://shop.example/{other}" not in urls

    certificate, _ = data_alone.forget(kept)
    assert not certificate.holds
    found = {str(each.url).rpartition("/")[2]: each for each in certificate.shared}
    assert set(found) == {str(other), "55"}
    assert found[str(other)].near_duplicate
    assert not found["55"].near_duplicate
    assert found["55"].longest_bytes >= 90
    assert found["55"].excerpt in " ".join(written[55].split())

    certificate, _ = data_alone.forget(kept, near=True)
    assert {str(each.url).rpartition("/")[2] for each in certificate.shared} == {"55"}
    assert {page.url.rpartition("/")[2] for page in certificate.pages} == {"12", "41"}


def test_the_list_of_a_home_is_written_once_and_read_by_every_recipe(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "home"))
    entries = tombstones.asked_for(["x.org", "https://y.org", "id:7", "pydocs://a/a.b", "f" * 32])
    assert tombstones.add(store, entries, "2026-01-02", "a, b") == 5
    assert tombstones.add(store, [*entries, Entry("domain", "z.org")], "2026-01-03", "") == 1
    assert tombstones.listed(store) == [*entries, Entry("domain", "z.org")]
    rows = (tmp_path / "home" / tombstones.FILE).read_text().splitlines()
    assert rows[:2] == ["entry,asked,note", 'x.org,2026-01-02,"a, b"']
    spec = {"name": "a", "paths": ["a"]}
    config = source.SourceConfig.model_validate({"sources": [spec], "opt_outs": ["own.csv"]})
    told = tombstones.with_forgotten({"source": config}, store)["source"]
    assert isinstance(told, source.SourceConfig)
    assert told.opt_outs == ["own.csv", str(tmp_path / "home" / tombstones.FILE)]
    assert told.identity() == config.identity()


def test_a_list_is_looked_for_where_paths_of_recipes_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "may.csv").write_text("domain\nx.org\n")
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    assert tombstones.asked_for(["lists/may.csv"]) == [Entry("domain", "x.org")]
    with pytest.raises(OptOutFileError, match=rf"no file {tmp_path}/lists/june\.csv"):
        tombstones.asked_for(["lists/june.csv"])


@pytest.mark.parametrize("asked", [["two words"], []])
def test_what_is_no_page_is_told(tmp_path: Path, asked: list[str]) -> None:
    with pytest.raises(OptOutFileError, match=r"name one, or a CSV file of them"):
        tombstones.asked_for(asked)


def test_to_take_out_what_is_not_there_changes_nothing(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "home"))
    with pytest.raises(NothingToForgetError, match=r"no page of x\.org"):
        look_up(store, "shop", ["x.org"], near=False, texts=True)
    assert not look_up(store, "shop", ["x.org"], near=False, texts=False).held.pages
