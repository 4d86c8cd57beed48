"""The documentation of an installed Python distribution, as linked HTML pages.

One page a public module, as documentation sites have them: a bar of links, the
module's docstring, then one heading (full dotted name with signature) a class,
function and method, each followed by its docstring; and one page for the
README out of the metadata. Nothing is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from llm.corpus.source.records import Page, Record, Rejected, Removed
from llm.pydocs.distributions import Description, describe, module_files
from llm.pydocs.docstring_html import docstring_html
from llm.pydocs.names import public_definitions
from llm.pydocs.pages import README, SCHEME
from llm.pydocs.source import Definition, Module, SourceError, attach, is_public, read_module


def module_url(distribution: str, module: str) -> str:
    """`pydocs://<distribution>/<module>`."""
    return f"{SCHEME}{distribution}/{module}"


def read_pinned(path: Path, name: str, limit: int) -> Iterator[Record]:
    """Every record of a distribution that is named with its version, `<name>==<version>`.

    There is at least one, so that no distribution goes unseen. Arguments as below.
    """
    found = False
    for record in read_distribution(name.rpartition("==")[0], path, limit):
        found = True
        yield record
    if not found:
        detail = f"{name}: no README, and no public module"
        yield Removed("no_documentation", name, b"", detail)


def read_distribution(name: str, folder: Path, limit: int) -> Iterator[Record]:
    """A record for the README and one a public module, sorted by module name.

    A module without any docstring is `Removed`, one that does not parse is `Rejected`.

    Args:
        name: of the distribution ("python": the standard library).
        folder: its `.dist-info` folder; of the standard library, the library's folder.
        limit: most bytes of a page.
    """
    about = describe(name, folder)
    if about.text.strip():
        html = _page(name, f"{name} README", _nav(name, [], []), _readme(about))
        yield _check_size(module_url(name, README), html, about.license, limit)
    modules: dict[str, Module] = {}
    for file in module_files(name, folder):
        try:
            module = read_module(file.name, file.path, file.package)
        except SourceError as error:
            if is_public(file.name):
                url = module_url(name, file.name)
                yield Rejected("bad_source", url, file.relative.encode(), str(error))
            continue
        # A package wins over a module of the same name, as it does in Python.
        if file.package or file.name not in modules:
            modules[file.name] = module
    attach(modules)
    documented = public_definitions(modules)
    shown = sorted(n for n, found in documented.items() if found or modules[n].doc)
    children: dict[str, list[str]] = {}
    for module_name in shown:
        children.setdefault(module_name.rpartition(".")[0], []).append(module_name)
    known = frozenset(shown)
    for module_name in sorted(documented):
        url = module_url(name, module_name)
        if module_name not in known:
            yield Removed("no_documentation", url, b"", f"{name}: {module_name}")
            continue
        parts = module_name.split(".")
        above = [".".join(parts[:count]) for count in range(1, len(parts))]
        bar = _nav(name, [p for p in above if p in known], children.get(module_name, []))
        body = _module(modules[module_name], documented[module_name])
        html = _page(name, module_name, bar, body)
        yield _check_size(url, html, about.license, limit)


def _check_size(url: str, html: str, license: str, limit: int) -> Record:
    payload = html.encode("utf-8", "replace")
    if len(payload) > limit:
        detail = f"{url}: {len(payload)} bytes, the limit is {limit}"
        return Rejected("too_large", url, b"", detail)
    return Page(url, None, "text/html", "utf-8", payload, license=license)


def _page(distribution: str, title: str, bar: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n</head>\n<body>\n{bar}\n"
        f"<main>\n<article>\n{body}\n</article>\n</main>\n"
        f"<footer><p>Documentation of {escape(distribution)}</p></footer>\n</body>\n</html>\n"
    )


def _nav(distribution: str, above: Sequence[str], below: Sequence[str]) -> str:
    links = [(module_url(distribution, README), distribution)]
    links += [(module_url(distribution, name), name) for name in (*above, *below)]
    items = "".join(f'<li><a href="{escape(url)}">{escape(text)}</a></li>' for url, text in links)
    return f"<nav><ul>{items}</ul></nav>"


def _module(module: Module, definitions: Sequence[tuple[str, Definition]]) -> str:
    pieces = [f"<h1>{escape(module.name)}</h1>"]
    if module.doc:
        pieces.append(docstring_html(module.doc))
    for name, definition in definitions:
        _definition(f"{module.name}.{name}", definition, 2, pieces)
    return "\n".join(pieces)


def _definition(path: str, definition: Definition, level: int, pieces: list[str]) -> None:
    prefix = "class " if definition.kind == "class" else ""
    heading = escape(f"{prefix}{path}{definition.signature}", quote=False)
    pieces.append(f'<h{level} id="{escape(path)}">{heading}</h{level}>')
    if definition.doc:
        pieces.append(docstring_html(definition.doc))
    for member in definition.members:
        _definition(f"{path}.{member.name}", member, 3, pieces)


def _readme(about: Description) -> str:
    if about.content_type == "text/markdown":
        from markdown_it import MarkdownIt

        return str(MarkdownIt("commonmark", {"html": True}).enable("table").render(about.text))
    if about.content_type == "text/plain":
        return f"<pre>{escape(about.text, quote=False)}</pre>"
    return _restructure(about.text)


def _restructure(text: str) -> str:
    from docutils.core import publish_parts

    settings = {
        "report_level": 5,  # messages about bad markup are not part of the text
        "halt_level": 5,
        "raw_enabled": False,
        "file_insertion_enabled": False,
        "initial_header_level": 2,
        "_disable_config": True,
        "syntax_highlight": "none",
    }
    parts = publish_parts(text, writer="html5", settings_overrides=settings)
    return str(parts["html_body"])
