"""What `ingot forget --apply` does: the list, the rebuild, the certificate."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flows.cli.panel_tables import print_panels
from flows.cli.running import build_planned, row_record, show_plan
from flows.planning import plan_of_removal, planner
from tasks.engine.store.store import Store
from tasks.forget import tombstones, words
from tasks.forget.removal import Removal, data_stages, issue, write_tombstones
from tasks.machine import require_devices


def show_rebuild(
    recipe: str, store: Store, found: Removal, record: Mapping[str, object] | None
) -> None:
    """Print what a rebuild without the pages would run.

    Args:
        record: what holds the pages, where both are to be printed as JSON.
    """
    rows = plan_of_removal(recipe, store, found.entries)
    if record is not None:
        print(json.dumps({**record, "rebuild": [row_record(row) for row in rows]}, indent=1))
    else:
        show_plan([row for row in rows if row.runs is not False])


def take_out(
    recipe: str, name: str, store: Store, found: Removal, note: str, as_json: bool
) -> None:
    """Write the entries to the home's list, rebuild the data, and print the certificate.

    Args:
        recipe: as a person names it.
        name: that its pointers are kept under.
    """
    new = write_tombstones(store, found, note)
    if not as_json:
        print(f"{store.full(tombstones.FILE)}: {new} new of {len(found.entries)} entries")
    only = data_stages(planner(recipe).chain)
    planned = planner(recipe, only=only)
    require_devices(planned.configs, [row.stage for row in planned.plan() if row.runs is not False])
    done = build_planned((recipe, [], only, [], []), planned, quiet=as_json)
    rebuilt = [outcome.artifact for outcome in done.outcomes]
    certificate, path = issue(store, name, found, rebuilt)
    if as_json:
        print(certificate.model_dump_json(indent=1))
        return
    print_panels(words.certificate_panels(certificate)[1:4])
    print(f"{words.verdict(certificate)}\ncertificate: {path}")
    if not certificate.holds:
        print("the removal does not hold yet: the texts above still have words of the pages")
