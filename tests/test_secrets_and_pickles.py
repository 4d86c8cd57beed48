"""What nobody may find: a secret in what a run leaves behind, a pickle in what it publishes."""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from deployments.bootstrap import declared, flow_of, parameters
from llm.corpus.fetch.file_urls import FileUrlError, check_page_url, check_url
from tasks.engine.errors import RecipeError
from tasks.recipe import load
from tests.tasks.report_chain import built, configs, write_pages

SECRET = "sk-9f3a71d2c64e-planted"
VARIABLES = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY", "INGOT_SERVE_TOKEN")
ROOT = Path(__file__).parents[1]
# A pipe between a process and the child it started: nobody else can write to it.
PIPES = {"llm/process/child.py", "llm/process/child_main.py"}
PICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def texts_in(path: Path) -> Iterator[bytes]:
    """What a file says: its bytes, and of a table, which is compressed, its values too."""
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield str(pq.read_table(path).to_pylist()).encode()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small chain up to its report, built where every variable that may hold a secret has one."""
    folder = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patched:
        for name in VARIABLES:
            patched.setenv(name, SECRET)
        patched.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        names = ("source", "clean", "dedup", "decontaminate", "tokenizer", "pack", "report")
        done = built(folder / "home", configs(write_pages(folder / "pages"), *names))
        assert not any(each.cached for each in done.values())
        yield folder


def test_a_secret_of_the_environment_is_in_no_file(home: Path) -> None:
    files = [path for path in home.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".json", ".jsonl", ".parquet", ".html"} <= kinds
    told = [path for path in files if any(SECRET.encode() in text for text in texts_in(path))]
    assert not told
    # The search finds what is there.
    table = next(
        path for path in files if path.suffix == ".parquet" and path.parent.name == "documents"
    )
    word = str(pq.read_table(table)["text"][0].as_py()).split()[0].encode()
    assert any(word in text for text in texts_in(table))


def test_a_secret_of_the_environment_is_in_no_form(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.utilities.callables import parameter_schema

    for name in VARIABLES:
        monkeypatch.setenv(name, SECRET)
    recipe = load("quickstart")
    for entry in declared():
        if entry["name"] in ("build", "fetch", "judge", "pretrain"):
            form = parameter_schema(flow_of(entry)).model_dump_for_openapi()
            filled = parameters(entry, recipe, "quickstart")
            assert SECRET not in json.dumps([form, filled], default=str)


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{SECRET}@example.org/pages.parquet",
        f"https://{SECRET}@example.org/pages.parquet",
        f"ftp://user:{SECRET}@example.org/pages.parquet",
        f"https://user:{SECRET}@example.org:port/pages.parquet",
        f"https://example.org/pages.parquet?X-Amz-Signature={SECRET}",
        f"https://example.org/pages.parquet?a=b&sig={SECRET}",
        f"https://example.org/pages.parquet?token={SECRET}",
    ],
)
def test_a_url_that_holds_a_secret_is_refused_without_telling_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(FileUrlError) as refused:
        check_url(url)
    assert SECRET not in str(refused.value)
    with pytest.raises(FileUrlError) as refused:
        check_page_url(url)
    assert SECRET not in str(refused.value)
    file = tmp_path / "mine.yaml"
    for section in (
        f"fetch: {{files: [{{name: a, urls: ['{url}']}}]}}",
        f"judge: {{base_url: '{url}'}}",
    ):
        file.write_text(section)
        with pytest.raises(RecipeError) as wrong:
            load(str(file))
        assert SECRET not in str(wrong.value), section


def test_no_published_file_is_a_pickle(home: Path) -> None:
    files = [path for path in (home / "home").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if is_pickle(path)]


def test_what_is_a_pickle_is_known(tmp_path: Path) -> None:
    import pickle

    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "plain").write_bytes(pickle.dumps({"a": [1]}, protocol))
        assert is_pickle(tmp_path / "plain"), protocol
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "numbers.npy", np.arange(3))
    assert is_pickle(tmp_path / "objects.npy")
    assert not is_pickle(tmp_path / "numbers.npy")
    with zipfile.ZipFile(tmp_path / "model.bin", "w") as archive:  # as torch.save makes one
        archive.writestr("archive/data.pkl", pickle.dumps([1]))
    assert is_pickle(tmp_path / "model.bin")


def is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, or holds one as torch and numpy write them."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    content = path.read_bytes()
    if content.startswith(b"\x93NUMPY"):
        return b"'|O'" in content[:128]
    return content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05" and content[-1:] == b"."


def test_the_code_reads_and_writes_no_pickle() -> None:
    found = []
    for part in ("llm", "tasks", "flows", "deployments"):
        for path in sorted((ROOT / part).rglob("*.py")):
            where = path.relative_to(ROOT).as_posix()
            if where in PIPES:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [f"{where}:{line}: {what}" for line, what in pickling(tree)]
    assert not found


def pickling(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where code reads or writes a pickle, or lets a library do so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if a.name in PICKLERS)
        elif isinstance(node, ast.ImportFrom) and node.module in PICKLERS:
            yield node.lineno, str(node.module)
        elif isinstance(node, ast.Call):
            told = {word.arg: ast.unparse(word.value) for word in node.keywords}
            called = ast.unparse(node.func)
            if called == "torch.load" and told.get("weights_only") != "True":
                yield node.lineno, "torch.load without weights_only"
            if called == "torch.save" or told.get("allow_pickle", "False") != "False":
                yield node.lineno, called


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("import pickle", 1),
        ("from joblib import dump", 1),
        ("torch.load(path)", 1),
        ("torch.load(path, weights_only=True)", 0),
        ("numpy.load(path, allow_pickle=True)", 1),
        ("numpy.load(path, allow_pickle=False)", 0),
        ("torch.save(model, path)", 1),
    ],
)
def test_the_search_for_pickles_finds_them(code: str, count: int) -> None:
    assert len(list(pickling(ast.parse(code)))) == count
