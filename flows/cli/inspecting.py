"""`why`, `diff`, `trace`, `removed`, `verify`, `gc`: questions about what was built."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.options import AsJson, Changes, Recipe
from flows.home import open_store
from flows.pictures import outdated, take_down
from flows.planning import planner
from llm.rows import rows_with
from llm.tables import REJECTED, REMOVED
from tasks.engine.errors import MissingInputError
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.manifest import columns_of
from tasks.engine.store.published import current, published
from tasks.engine.store.store import Store
from tasks.engine.store.views import FILE as PANELS
from tasks.engine.upkeep import gc as collecting
from tasks.engine.upkeep import trace as tracing
from tasks.engine.upkeep import verify as verifying
from tasks.forget.certificate import marks
from tasks.forget.holders import CERTIFICATES, pointers
from tasks.panels.numbers import counted
from tasks.papers import papers as papers_of
from tasks.recipe import recipe_name
from tasks.registry import STAGES

# SHA-256 in hex, of which folders in the store and `why` show as many digits.
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_SHOWN_CHARACTERS = 240
_SHOWN_DIGITS = 16


def _latest(store: Store, recipe: str, stage: str) -> Artifact:
    if stage not in STAGES:
        raise MissingInputError(f"no stage {stage!r}; there are {', '.join(STAGES)}")
    artifact = channels.resolve(store, recipe_name(recipe), stage)
    if artifact is None:
        raise MissingInputError(
            f"{stage} of recipe {recipe!r} was never built; run `ingot run --recipe {recipe}`"
        )
    return artifact


def _all_latest(store: Store, recipe: str) -> list[Artifact]:
    name = recipe_name(recipe)
    found = [channels.resolve(store, name, stage) for stage in STAGES]
    built = [artifact for artifact in found if artifact is not None]
    if not built:
        raise MissingInputError(
            f"recipe {recipe!r} was never built; run `ingot run --recipe {recipe}`, or name "
            "another with --recipe (INGOT_RECIPE sets it for all commands)"
        )
    return built


def why(
    stage: Annotated[str, typer.Argument(help="Name of the stage.")],
    recipe: Recipe = "quickstart",
    changes: Changes = [],  # noqa: B006
) -> None:
    """Explain why a stage would or would not run, and what its artifact was built from."""
    plan = planner(recipe, changes)
    plan.chain.require([stage], "why")
    # What has no part in the answer is not looked at: its files may be missing.
    ancestors = plan.chain.ancestors(stage)
    rows = {name: plan.row(name) for name in plan.chain.stages if name in ancestors}
    row = rows[stage]
    print(f"{stage} is {row.status.value}")
    for reason in row.reasons:
        print(f"  {reason}")
    if row.artifact is None:
        return
    manifest = row.artifact.manifest
    print(f"artifact  {row.artifact.manifest_path}")
    timings = manifest.timings
    print(f"built     {timings.started} in {timings.seconds:.1f} s")
    if timings.shards_built or timings.shards_adopted:
        print(f"shards    {timings.shards_built} built, {timings.shards_adopted} adopted")
    for name, record in manifest.inputs.items():
        print(f"input     {name} = {record.stage}.{record.output} {record.data_id[:16]}")
    for name, external in manifest.externals.items():
        print(f"external  {name} = {counted(external.count, 'item')} {external.data_id[:16]}")
    for name, output in manifest.outputs.items():
        print(f"output    {name} = {counted(output.rows, 'row')}, {output.bytes:,} bytes")


def _manifest(store: Store, recipe: str, wanted: str) -> Artifact:
    """`stage`, `stage@recipe`, or `stage/build_id[/attempt]`, of a build id the first 16 digits."""
    stage, _, rest = wanted.partition("/")
    if not rest:
        stage, _, other = wanted.partition("@")
        return _latest(store, other or recipe, stage)
    build_id, _, attempt = rest.partition("/")
    artifact = (
        published(store, stage, build_id, attempt) if attempt else current(store, stage, build_id)
    )
    if artifact is None:
        raise MissingInputError(f"no artifact {wanted!r}")
    return artifact


def diff(
    one: Annotated[  # help is rich markup: no square brackets
        str, typer.Argument(help="stage, stage@recipe, stage/id or stage/id/attempt.")
    ],
    other: Annotated[str, typer.Argument(help="The other artifact, in the same form.")],
    recipe: Recipe = "quickstart",
    as_json: AsJson = False,
) -> None:
    """Compare two artifacts: config, inputs, code, counts, documents that changed sides, scores."""
    from tasks import (
        attempts_compared as attempts,  # only now: joining tables takes a while to import
    )

    store = open_store()
    before, after = _manifest(store, recipe, one), _manifest(store, recipe, other)
    found = attempts.difference(before, after)
    if as_json:
        print(json.dumps(asdict(found), default=str, indent=1))
        return
    changes = "\n".join(found.changes) or "equal in config, inputs, code, rows and outputs"
    print(_DIGEST.sub(lambda digest: digest[0][:_SHOWN_DIGITS], changes))
    if found.arrived or found.left:
        print(f"documents: {found.arrived:,} only in the second, {found.left:,} only in the first")
    for move in found.moves:
        print(f"{move.count:>9,}  {move.before} -> {move.after}")
        for row in move.samples:
            print(f"           {row['doc_id']}  {row.get('url') or ''}".rstrip())
    for score in found.scores if found.changes else ():
        print(f"{score.metric} of {score.model}: {score.said()}")


def trace(
    document: Annotated[str, typer.Argument(help="A doc_id, the beginning of one, or a URL.")] = "",
    sequence: Annotated[
        int | None, typer.Option(help="Trace a training sequence back to its documents instead.")
    ] = None,
    recipe: Recipe = "quickstart",
    as_json: AsJson = False,
) -> None:
    """Follow a document through every stage, or a training sequence back to its pages."""
    store = open_store()
    artifacts = _all_latest(store, recipe)
    if sequence is not None:
        row = tracing.sequence(_latest(store, recipe, "pack"), sequence)
        pages = {doc: _page(artifacts, doc) for doc in dict.fromkeys(row["doc_ids"])}
        segments = [
            {"doc_id": doc, "tokens_from": start, "tokens": length, **pages[doc]}
            for doc, start, length in zip(
                row["doc_ids"], row["doc_offsets"], row["doc_lengths"], strict=True
            )
        ]
        if as_json:
            print(json.dumps({"split": row["split"], "segments": segments}, indent=1))
            return
        print(f"sequence {sequence} ({row['split']}): {counted(len(segments), 'segment')}")
        for part in segments:
            end = part["tokens_from"] + part["tokens"]
            where = f"tokens {part['tokens_from']}-{end}"
            print(f"  {part['doc_id']}  {where:<18} {part['url']}  ({part['file']})")
        return
    if not document:
        raise MissingInputError("name a document (id or URL), or use --sequence N")
    doc_id = tracing.resolve(artifacts, document, _aside)
    found = tracing.trace(artifacts, doc_id, _aside)
    if as_json:
        print(json.dumps([vars(row) for row in found], default=str, indent=1))
        return
    print(doc_id)
    for row in found:
        shown = ", ".join(
            f"{name}={value}"
            for name, value in row.row.items()
            if name not in ("doc_id", "parent_doc_ids", "doc_ids") and value not in (None, "", [])
        )
        if len(shown) > _SHOWN_CHARACTERS:
            shown = f"{shown[:_SHOWN_CHARACTERS]} ... (--json has all)"
        print(f"{row.stage + '.' + row.output:<28} {shown}")


def _aside(message: str) -> None:
    print(message, file=sys.stderr)


def _page(artifacts: list[Artifact], doc_id: str) -> dict[str, Any]:
    for artifact in artifacts:
        if artifact.stage == "source":
            for table in artifact.data("pages").tables(["doc_id", "url", "provenance"]):
                rows = rows_with(table, "doc_id", doc_id).to_pylist()
                if rows:
                    return {"url": rows[0]["url"], **rows[0]["provenance"]}
    return {"url": None, "file": None}


def removed(
    stage: Annotated[str, typer.Argument(help="Name of a stage that removes or rejects rows.")],
    reason: Annotated[str | None, typer.Option(help="Show only rows with this reason.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum rows to show.", min=1)] = 20,
    recipe: Recipe = "quickstart",
    as_json: AsJson = False,
) -> None:
    """Show what a stage removed or rejected, and why."""
    artifact = _latest(open_store(), recipe, stage)
    told_reasons = {**artifact.manifest.totals.removed, **artifact.manifest.totals.rejected}
    if reason is not None and reason not in told_reasons:
        known = ", ".join(sorted(told_reasons)) or "none"
        raise MissingInputError(
            f"{stage} removed or rejected nothing as {reason!r}; its reasons are: {known}"
        )
    rows: list[dict[str, Any]] = []
    for output, record in artifact.manifest.outputs.items():
        if record.columns not in (columns_of(REMOVED), columns_of(REJECTED)):
            continue  # of rows left out there are tables of other names too
        for table in artifact.data(output).tables():
            if reason is not None:
                table = rows_with(table, "reason", reason)
            rows += [{"fate": output, **row} for row in table.slice(0, limit).to_pylist()]
            if len(rows) >= limit:
                break
    totals = artifact.manifest.totals
    if as_json:
        listing = {"removed": totals.removed, "rejected": totals.rejected, "rows": rows[:limit]}
        print(json.dumps(listing, default=str, indent=1))
        return
    for fate, reasons in (("removed", totals.removed), ("rejected", totals.rejected)):
        for name, count in sorted(reasons.items(), key=lambda pair: -pair[1]):
            print(f"{fate} {count:>9,}  {name}")
    if not totals.removed and not totals.rejected:
        print(f"{stage} removed and rejected nothing")
    for row in rows[:limit]:
        shown = (f"{name}={value}" for name, value in row.items() if value not in (None, ""))
        print("  ".join(shown))


def verify(
    deep: Annotated[
        bool, typer.Option("--deep", help="Hash every file instead of checking sizes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that published files are present, complete and (with --deep) unchanged.

    What the report shows of each artifact is always read. Named are also what still holds pages
    that were taken out (`ingot forget`), and papers that no longer fit (`ingot papers`)."""
    store = open_store()
    unmarked: list[str] = []
    found = verifying.verify(store, deep, unmarked=lambda error: unmarked.append(str(error)))
    every = list(verifying.artifacts(store))
    count = len(every)
    forgotten = _forgotten(store, every)
    papers = papers_of.outdated(store)
    if as_json:
        told = {"artifacts": count, "damaged": found, "forgotten": forgotten, "papers": papers}
        print(json.dumps(told, indent=1))
    else:
        for place, stages in papers.items():
            print(f"no longer fits {place}: {', '.join(stages)} changed; `ingot papers` renews it")
        for folder, mark in forgotten.items():
            now = f"in force as {', '.join(mark['in_force'])}" if mark["in_force"] else "replaced"
            names = ", ".join(mark["certificates"])
            print(f"holds forgotten pages {folder} ({now}): {CERTIFICATES}/{names}")
        for folder, files in found.items():
            print(f"damaged {folder}: {', '.join(files)}")
        print(
            f"{counted(count, 'artifact')}, {len(found)} damaged"
            + ("" if deep else " (sizes only)")
        )
        if any(files != [PANELS] for files in found.values()):
            print("`ingot run` rebuilds those its recipe needs")
        if any(PANELS in files for files in found.values()):
            print(f"{PANELS} is what the report shows; `ingot run --force STAGE` makes it again")
    for why_not in unmarked[:1]:  # the same for all
        print(f"could not be marked as damaged: {why_not}", file=sys.stderr)
    if found:
        raise typer.Exit(1)


def _forgotten(store: Store, every: Sequence[Artifact]) -> dict[str, dict[str, list[str]]]:
    """What still holds pages that were taken out, by folder: certificates, and pointers to it."""
    means = pointers(store)
    found = {}
    for artifact in every:
        names, of = marks(artifact), artifact.manifest
        if names:
            in_force = means.get((of.stage, of.build_id, of.attempt), [])
            found[artifact.folder] = {"certificates": names, "in_force": in_force}
    return found


def gc(
    keep_last: Annotated[
        int, typer.Option(help="Newest attempts to keep of each stage.", min=0)
    ] = 1,
    unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="Include shards and checkpoints left by stopped runs."),
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Remove them; without this they are only listed.")
    ] = False,
) -> None:
    """List or remove attempts that nothing refers to, and pictures of removed attempts."""
    store = open_store()
    candidates = collecting.collect(store, keep_last, unfinished)
    pictures = outdated(store, {candidate.folder for candidate in candidates})
    drawn = sum(picture.stat().st_size for picture in pictures)
    table = Table("folder", "why", "size", box=None, pad_edge=False)
    for candidate in candidates:
        table.add_row(candidate.folder, candidate.why, f"{candidate.bytes / 1e6:,.1f} MB")
    if candidates:
        Console().print(table)
    size = collecting.freed_bytes(store, candidates) / 1e6
    if apply:
        collecting.remove(store, candidates)
        take_down(pictures)
    did = "removed" if apply else "would remove (use --apply)"
    print(f"{did}: {counted(len(candidates), 'folder')}, {size:,.1f} MB")
    if pictures:
        whose = "removed attempts" if apply else "attempts that are or would be removed"
        print(f"{did}: {counted(len(pictures), 'picture')} of {whose}, {drawn:,} bytes")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (why, diff, trace, removed, verify, gc):
        app.command()(command)
