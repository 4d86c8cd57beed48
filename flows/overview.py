"""What one reads first of a run: its stages in the order of the chain, and why it failed.

Prefect's pages list the artifacts of a run in no order. So one of them, `run`, has a line for
every stage, with how it came out and where it is shown; it is brought up to date as stages end.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import flow_run

from flows.faults import explains_itself
from tasks.engine.run.plan import Row
from tasks.engine.store.artifact import Artifact
from tasks.panels.markdown import inline
from tasks.panels.numbers import duration

KEY, FAILURE = "run", "failure"
# Of the run as a whole, in the order in which one reads them.
_OF_THE_RUN = (
    *("plan", "approval", "certificate", "forget", "learn", "forecast", "lineage-picture"),
    *("funnel", "funnel-picture", "compare", "papers", "report"),
)
_OF_A_STAGE = ("stage", "change", "curve", "progress")
_FRAMES = 8
# What at the start of a line begins a list or underlines a heading.
_STARTS = re.compile(r"^(\d*)([-+=.)])")
_ERROR_CHARACTERS = 8_000


@dataclass
class Overview:
    """Of one run.

    Attributes:
        rows: the plan's, in the order of the chain.
        done: state and artifact of the stages that have ended, by name.
        failed: the stage that failed, if one did.
        page: the artifact there is of it.
    """

    rows: Sequence[Row] = ()
    done: dict[str, tuple[str, Artifact]] = field(default_factory=dict)
    failed: str = ""
    page: UUID | None = None

    def show(self) -> None:
        """Make the artifact `run`, or bring it up to date."""
        run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]))
        with get_client(sync_client=True) as client:
            shown = {each.key or "": each.id for each in client.read_artifacts(artifact_filter=run)}
            text = self.text(shown)
            if self.page is not None:
                client.update_artifact(self.page, ArtifactUpdate(data=text))
                return
        made = create_markdown_artifact(
            key=KEY, markdown=text, description="This run, stage by stage: read this first"
        )
        assert isinstance(made, UUID)
        self.page = made

    def text(self, shown: Mapping[str, UUID]) -> str:
        """The page.

        Args:
            shown: the run's artifacts, by key.
        """
        links = [_link(key, shown) for key in (FAILURE, *_OF_THE_RUN) if key in shown]
        lines = [
            "| stage | state | took | rows in | kept | shown |",
            "|---|---|---:|---:|---:|---|",
        ]
        for row in self.rows:
            state, artifact = self.done.get(row.stage, (self._state(row), None))
            keys = [f"{kind}-{row.stage}" for kind in _OF_A_STAGE]
            cells = [row.stage, state, *_figures(state, artifact)]
            cells.append(" · ".join(_link(key, shown) for key in keys if key in shown))
            lines.append(f"| {' | '.join(cells)} |")
        return f"{' · '.join(links)}\n\n" + "\n".join(lines)

    def _state(self, row: Row) -> str:
        """Of a stage that has not ended, or did not well."""
        if row.stage == self.failed:
            return "**failed**"
        return "not selected" if row.status.value == "not selected" else "-"


def _figures(state: str, artifact: Artifact | None) -> list[str]:
    if artifact is None:
        return ["", "", ""]
    totals = artifact.manifest.totals
    # In a narrow column a minute and its seconds stay in one line.
    whole = duration(artifact.manifest.timings.seconds).replace(" ", "\u00a0")
    took = "" if state == "Cached" else whole
    return [
        took,
        *(f"{rows:,}" if totals.rows_in else "" for rows in (totals.rows_in, totals.kept)),
    ]


def _link(key: str, shown: Mapping[str, UUID]) -> str:
    # From the page of an artifact, or of its key, in either of Prefect's UIs.
    return f"[{key}](../artifact/{shown[key]})"


def show_failure(error: Exception) -> None:
    """Publish what went wrong, with which record or file, and the way out, as `failure`."""
    create_markdown_artifact(
        key=FAILURE, markdown=failure_text(error), description=f"{type(error).__name__}"
    )


def failure_text(error: Exception) -> str:
    """What went wrong, in full, and the way out."""
    said = _lines(str(error)[:_ERROR_CHARACTERS]) or "-"
    parts = [f"### {type(error).__name__}", said]
    way_out = [inline(note) for note in getattr(error, "__notes__", [])]
    if explains_itself(error):
        way_out.append("What to change is said above. Then start this run again.")
    else:
        parts.append("A fault of the program, not of what it was given. Where:")
        parts.append(_fenced("".join(traceback.format_exception(error)[-_FRAMES:])))
        way_out.append("Please report it with these lines; all it wrote is under Logs.")
    return "\n\n".join([*parts, "### The way out", *(f"- {line}" for line in way_out)])


def _lines(text: str) -> str:
    """Text line by line, in which nothing has a meaning, wrapped where the page ends.

    In a fence a page cuts long lines, and what to do stands at their end.
    """
    lines = []
    for line in text.strip().splitlines():
        indent = len(line) - len(line.lstrip())
        lines.append("\u00a0" * indent + _STARTS.sub(r"\g<1>\\\g<2>", inline(line)))
    return "\\\n".join(line or "\u00a0" for line in lines)


def _fenced(text: str) -> str:
    """Text that nothing in it can end, as it is."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text.strip()}\n{fence}"
