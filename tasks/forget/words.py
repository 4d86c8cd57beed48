"""What a search and a certificate say, as panels for whoever shows them."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.forget.certificate import Certificate
from tasks.forget.holders import Held
from tasks.panels.markdown import inline, markdown
from tasks.panels.numbers import counted, size
from tasks.panels.panels import Cell, Panel, Table

_SHOWN = 200


def found_panels(held: Held) -> list[Panel]:
    """The pages, and what holds them."""
    pages: list[list[Cell]] = [[page.url, page.source, page.doc_id] for page in held.pages[:_SHOWN]]
    rows: list[list[Cell]] = []
    for holder in held.holders:
        if holder.rows or holder.learned:
            told = [f"{counted(count, 'row')} of {name}" for name, count in holder.rows.items()]
            learned = ["learned from them"] if holder.learned else []
            rows.append([holder.name, "; ".join(learned + told), ", ".join(holder.in_force)])
    note = f"{len(held.pages) - _SHOWN:,} more are not shown." if len(held.pages) > _SHOWN else ""
    return [
        Table("Pages", ["url", "source", "doc_id"], pages, note),
        Table("Artifacts that hold them", ["artifact", "what", "in force as"], rows[:_SHOWN]),
    ]


def found_in_words(held: Held) -> str:
    """One line."""
    if not held.pages:
        return f"none of the {held.documents:,} rows of pages that were looked through is meant"
    models = held.models
    named = ", ".join(holder.name for holder in models[:3]) + (", ..." if len(models) > 3 else "")
    return (
        f"{counted(len(held.pages), 'page')}, in {counted(held.documents, 'row')} of pages looked "
        "through; "
        f"{counted(sum(bool(h.rows) for h in held.holders), 'artifact')} with rows of them; "
        f"{counted(len(models), 'model')} that learned from them{f': {named}' if named else ''}"
    )


def certificate_panels(certificate: Certificate) -> list[Panel]:
    """All that it says."""
    pages: list[list[Cell]] = [
        [page.url, page.doc_id, page.text_bytes, page.text_sha256 or "never became a document"]
        for page in certificate.pages[:_SHOWN]
    ]
    rebuilt: list[list[Cell]] = [
        [each.stage, f"{each.build_id[:16]}/{each.attempt}", each.shards_built, each.shards_adopted]
        for each in certificate.rebuilt
    ]
    shared: list[list[Cell]] = [
        [
            each.url or each.doc_id,
            f"{each.stage}.{each.output}",
            each.longest_bytes,
            each.share,
            each.near_duplicate,
            each.excerpt,
        ]
        for each in certificate.shared[:_SHOWN]
    ]
    still: list[list[Cell]] = [
        [each.artifact, each.what, ", ".join(each.in_force), each.model]
        for each in sorted(certificate.still_held, key=lambda each: not each.model)[:_SHOWN]
    ]
    more = len(certificate.pages) - _SHOWN
    return [
        Table(
            "Taken out",
            ["url", "doc_id", "bytes of text", "SHA-256 of the text"],
            pages,
            f"{more:,} more are in the JSON beside this page." if more > 0 else "",
        ),
        Table("Rebuilt", ["stage", "build", "shards built", "shards adopted"], rebuilt),
        Table(
            "Texts that still have words of them",
            ["text", "where", "longest run, bytes", "share of it", "near-duplicate", "the run"],
            shared,
            f"Runs of {certificate.window_bytes} bytes or more. A near-duplicate is mostly such "
            "runs; name it to `ingot forget`, or give --near-duplicates.",
        ),
        Table(
            "Still holds them",
            ["artifact", "what", "in force as", "model"],
            still,
            "Attempts from before; `ingot gc --apply` removes those that nothing refers to. A "
            "model holds them until it is trained again.",
        ),
        Table("Beyond the home", ["what"], [[each] for each in certificate.beyond]),
    ]


def verdict(certificate: Certificate) -> str:
    """One sentence: what is proved."""
    shared, near = certificate.shared, sum(each.near_duplicate for each in certificate.shared)
    proved = (
        f"{counted(len(shared), 'text')} of {certificate.searched_texts:,} that are trained on "
        f"({size(certificate.searched_bytes)}) share spans of {certificate.window_bytes} bytes or "
        f"more with the removed text ({size(certificate.removed_bytes)})"
    )
    if near:
        proved += f", {near:,} of them near-duplicates"
    models = counted(len(certificate.models), "model")
    return (
        f"{proved}; {counted(certificate.ids_in_force, 'row')} in force with their ids; {models} "
        "from before still learned from it"
    )


def document(certificate: Certificate) -> str:
    """The certificate as Markdown."""
    asked = ", ".join(f"`{entry}`" for entry in certificate.asked[:_SHOWN])
    holds = "holds" if certificate.holds else "does not hold: see the texts below"
    parts = [
        f"# Certificate {certificate.name}",
        f"Asked: {asked}. Recipe: {inline(certificate.recipe)}. Issued: {certificate.issued}.",
        f"**{verdict(certificate)}.** The removal {holds}. {_way(certificate)}",
        *_tables(certificate_panels(certificate)),
    ]
    return "\n\n".join(parts) + "\n"


def _way(certificate: Certificate) -> str:
    """How it was searched; both ways find every run."""
    if certificate.searched_by is None:
        return "Every text was read through."
    return (
        f"Of {counted(certificate.by_suffix_arrays, 'text')} the suffix arrays of "
        f"{certificate.searched_by} say so, compared with these texts byte by byte; the others "
        "were read through."
    )


def _tables(panels: Sequence[Panel]) -> list[str]:
    return [markdown(panel) for panel in panels if not isinstance(panel, Table) or len(panel.rows)]
