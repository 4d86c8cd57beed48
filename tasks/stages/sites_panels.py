"""What `sites` shows: what went of which site, the lines, and pages that were one."""

from __future__ import annotations

from tasks.engine.store.artifact import Artifact
from tasks.panels.panels import Cell, Panel, Table

_SITES_SHOWN = 20
_LINES_SHOWN = 40
_PAGES_SHOWN = 20


def panels(artifact: Artifact) -> list[Panel]:
    """Pages and characters that went, the sites and lines with most, and pages with one address."""
    totals = artifact.manifest.totals
    cut = artifact.data("cut").table(["lines", "characters"])
    lines = artifact.data("lines").table().to_pylist()
    left = sum(
        sum(table.column("text_chars").to_pylist())
        for table in artifact.data("documents").tables(["text_chars"])
    )
    lost = sum(cut.column("characters").to_pylist())
    rows: list[list[Cell]] = [["pages in", totals.rows_in]]
    rows += [[f"removed: {reason}", count] for reason, count in sorted(totals.removed.items())]
    rows += [
        ["kept", totals.kept],
        ["pages that lost lines", cut.num_rows],
        ["lines", sum(cut.column("lines").to_pylist())],
        ["characters", lost],
        ["share of all characters", lost / max(1, lost + left)],
    ]
    by_site: dict[str, list[int]] = {}
    for row in lines:
        of_site = by_site.setdefault(row["site"], [row["site_pages"], 0, 0, 0])
        of_site[1] += 1
        of_site[2] += row["removed"]
        of_site[3] += row["characters"]
    sites = sorted(by_site.items(), key=lambda item: (-item[1][3], item[0]))
    columns = ["site", "line", "pages with it", "pages of the site", "times", "characters"]
    names = ("site", "line", "pages", "site_pages", "removed", "characters")
    pages = artifact.data("duplicates").table().to_pylist()
    return [
        Table("Pages and lines of sites", ["", "count"], rows),
        Table(
            "Sites that lost most",
            ["site", "pages", "different lines", "times", "characters"],
            [[site, *counts] for site, counts in sites[:_SITES_SHOWN]],
        ),
        Table(
            "Lines that went",
            columns,
            [[row[name] for name in names] for row in lines[:_LINES_SHOWN]],
            f"{len(lines)} in all, those of most characters first. A line stays where it is a "
            "heading, part of a table with rows of the page's own, or code.",
        ),
        Table(
            "Pages with the address of another",
            ["page", "kept instead", "address", "declared by the page"],
            [
                [row["doc_id"], row["kept_doc_id"], row["address"], row["declared"]]
                for row in pages[:_PAGES_SHOWN]
            ],
            f"{len(pages)} in all.",
        ),
    ]
