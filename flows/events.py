"""Events for automations: what was published, and how much of it is new.

Prefect's triggers match names and labels, not numbers; so numbers are payload, for templates and
whoever listens.
"""

from __future__ import annotations

from prefect.events import emit_event
from prefect.runtime import flow_run

from flows.publish import best_effort
from llm.tables import TRAIN
from tasks.engine.store.artifact import Artifact

# Of every stage that was built, and of the packed corpus beside that.
STAGE, CORPUS = "ingot.stage.published", "ingot.corpus.published"
_CORPUS_STAGE = "pack"


@best_effort
def published(recipe: str, artifact: Artifact, before: Artifact | None) -> None:
    """Tell that a stage was built; of what was served from the store nothing is told.

    The resource is `ingot.<recipe>.<stage>`, with labels `ingot.recipe`, `ingot.stage`,
    `ingot.build_id`, `ingot.attempt` and `ingot.flow`, the flow that built it; the payload counts
    rows, and of the corpus its tokens.

    Args:
        before: what the recipe had of the stage until now.
    """
    manifest = artifact.manifest
    resource = {
        "prefect.resource.id": f"ingot.{recipe}.{manifest.stage}",
        "ingot.recipe": recipe,
        "ingot.stage": manifest.stage,
        "ingot.build_id": manifest.build_id,
        "ingot.attempt": manifest.attempt,
        "ingot.flow": flow_run.flow_name or "",
    }
    totals = manifest.totals
    payload = {
        "unit": totals.unit,
        "kept": totals.kept,
        "removed": sum(totals.removed.values()),
        "rejected": sum(totals.rejected.values()),
        "seconds": round(manifest.timings.seconds, 1),
    }
    emit_event(STAGE, resource=resource, payload=payload)
    if manifest.stage == _CORPUS_STAGE:
        tokens, had = _train_tokens(artifact), _train_tokens(before) if before else 0
        more = {"train_tokens": tokens, "new_train_tokens": tokens - had}
        emit_event(CORPUS, resource=resource, payload=payload | more)


def _train_tokens(artifact: Artifact) -> int:
    return int(artifact.facts["splits"].get(TRAIN, {}).get("tokens", 0))
