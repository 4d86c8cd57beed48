"""What a command that runs a flow needs before it: a home to write to, the server, the reports."""

from __future__ import annotations

from flows.home import open_store, require_writable
from flows.reports import ensure_reports
from flows.server import ensure_server


def server_for_run(tell: bool) -> str:
    """Start what is not running yet; the address of Prefect's pages.

    Args:
        tell: print that address.

    Raises:
        ReadOnlyStoreError, StoreFullError, ServerError: see `require_writable`, `ensure_server`.
    """
    require_writable()
    url, started = ensure_server()
    ensure_reports(open_store())
    pages = url.removesuffix("/api")
    if tell:
        print(f"Prefect UI: {pages}" + (" (started; `ingot down` stops it)" if started else ""))
    return pages
