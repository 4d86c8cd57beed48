"""What is said of a failure: all of it, harmless, and the way out."""

from __future__ import annotations

from flows.overview import failure_text
from tasks.engine.errors import ShardError


def test_an_error_is_shown_as_it_is_and_its_notes_are_the_way_out() -> None:
    error = ShardError("part-0001: <script>alert(1)</script>\n```\n# not a heading")
    error.add_note("Stage clean failed. Run again to continue.")
    text = failure_text(error)
    # Within a fence that nothing in it ends, so a page shows the markup and does not follow it.
    assert "````\npart-0001: <script>alert(1)</script>\n```\n# not a heading\n````" in text
    assert "- Stage clean failed. Run again to continue." in text
    assert "Traceback" not in text


def test_a_fault_of_the_program_says_where() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        text = failure_text(error)
    assert "A fault of the program" in text
    assert '{}["missing"]' in text
