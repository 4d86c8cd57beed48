"""What is said of a failure: all of it, harmless, and the way out."""

from __future__ import annotations

from flows.overview import failure_text
from tasks.engine.errors import ShardError


def test_an_error_is_shown_as_it_is_and_its_notes_are_the_way_out() -> None:
    error = ShardError(
        "part-0001: <script>alert(1)</script>\n```\n# no heading\n  - no list\n\n1. "
    )
    error.add_note("Stage clean failed. Run again to continue.")
    text = failure_text(error)
    # Lines of a paragraph: in a fence a page would cut what is long.
    assert text.split("\n\n")[1].split("\\\n") == [
        "part-0001: &lt;script&gt;alert(1)&lt;/script&gt;",
        r"\`\`\`",
        r"\# no heading",
        "\u00a0\u00a0\\- no list",
        "\u00a0",
        "1\\.",
    ]
    assert "- Stage clean failed. Run again to continue." in text
    assert "Traceback" not in text


def test_a_fault_of_the_program_says_where() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        text = failure_text(error)
    assert "A fault of the program" in text
    assert '{}["missing"]' in text
