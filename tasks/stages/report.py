"""report: one page that says how this model was made, from the manifests of all stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import Field

from llm.errors import ExpectedError
from tasks.comparison import comparing, contenders
from tasks.engine.config import StageConfig, added
from tasks.engine.declare import Input, Output
from tasks.engine.errors import IngotError
from tasks.engine.identity.snapshot import Snapshot
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.engine.store.views import advice, kept_view, without_panels
from tasks.findings import record
from tasks.findings.record import Finding
from tasks.panels.panels import Cell, Panel, Table
from tasks.report.blocks import Guide
from tasks.report.funnel import Step, funnel, same_rows
from tasks.report.guide import Extras, Recorded, guide
from tasks.report.outcome import Price
from tasks.report.page import page
from tasks.report.samples import SampleLimits
from tasks.stages.report_safety import safety_panels
from tasks.stages.report_worth import worth_panels

PAGE = "index.html"
_CHAMPION, _EXPERIMENT = "champion", "experiment"


class EmptyReportError(IngotError):
    """The recipe has no stage to report on."""


class ReportConfig(StageConfig):
    """What the page says and how much it shows."""

    title: str = Field(
        "How this model was made",
        description="Title of the page, such as the name of the recipe.",
        min_length=1,
        max_length=200,
    )
    samples: int = Field(
        3,
        description="Documents shown of every split and of every reason for removal; 0 for none.",
        ge=0,
        le=50,
    )
    sample_characters: int = Field(
        1_200, description="Characters shown of a document.", ge=100, le=4_000
    )

    champion: str = added(
        "",
        "Compare the last model that is evaluated with this one in use, RECIPE@CHANNEL, such as "
        "mine@prod; what was never promoted is left out.",
        pattern=r"^([A-Za-z0-9_-]+@[A-Za-z0-9-]+)?$",
    )
    experiment: str = added(
        "",
        "Show what each removal is worth, as the last run of the experiment of this name found; "
        "what has not run yet is left out.",
        pattern=r"^([A-Za-z0-9_-]{1,40})?$",
    )
    hourly_price: float = added(
        0.0,
        "What an hour of the machine costs, to say what the model cost; 0 says nothing of it.",
        ge=0,
        le=1_000_000,
    )
    currency: str = added("USD", "Of that price.", max_length=20)


def _champion(config: ReportConfig, store: Store) -> Mapping[str, tuple[Artifact, str]]:
    """The evaluation that the channel means now, where there is one."""
    recipe, _, channel = config.champion.partition("@")
    found = channels.resolve(store, recipe, contenders.STAGE, channel) if recipe else None
    if found is None or contenders.ITEMS not in found.manifest.outputs:
        return {}
    return {_CHAMPION: (found, contenders.ITEMS)}


def _experiment(config: ReportConfig, store: Store) -> Mapping[str, Snapshot]:
    """What the experiment has found, where it has run."""
    found = record.record_file(store, config.experiment) if config.experiment else None
    return {} if found is None else {_EXPERIMENT: found}


def foretells(
    config: ReportConfig, inputs: Sequence[str], external: Mapping[str, Snapshot]
) -> list[str]:
    """That the experiment which the config names has found nothing, where it has not run."""
    if not config.experiment or _EXPERIMENT in external:
        return []
    return [f"nothing found by an experiment {config.experiment}; `ingot experiment FILE` runs it"]


def run(config: ReportConfig, inputs: Inputs, out: Out) -> None:
    """Read every manifest there is and write the page.

    Raises:
        EmptyReportError: there is none.
        DamagedArtifactError: a stage's panels cannot be read.
        ExternalInputError: the experiment has run again since it was planned.
    """
    read = {name: data.artifact for name, data in inputs.items() if data.artifact is not None}
    artifacts = {name: artifact for name, artifact in read.items() if name != _CHAMPION}
    if not artifacts:
        raise EmptyReportError("report: the recipe has no other stage; add one to report on")
    steps = funnel(artifacts)
    found = _found(config, inputs, next(iter(artifacts.values())).store, out.log)
    made = guide_on(config, artifacts, read.get(_CHAMPION), found, steps, out.log)
    out.progress(len(artifacts), len(artifacts), "stage")
    text = page(made)
    (out.folder("report") / PAGE).write_text(text, encoding="utf-8", newline="\n")
    out.fact("stages", list(artifacts))
    out.fact(
        "funnel",
        [
            {
                "stage": step.stage,
                "in": step.rows_in,
                "kept": step.kept,
                "removed": sum(step.removed.values()),
                "rejected": sum(step.rejected.values()),
                "adds_up": step.adds_up,
            }
            for step in steps
        ],
    )


def guide_on(
    config: ReportConfig,
    artifacts: Mapping[str, Artifact],
    champion: Artifact | None,
    found: Finding | None,
    steps: Sequence[Step],
    log: Callable[[str], None],
) -> Guide:
    """The guide that the page shows and the PDF is set from.

    Args:
        artifacts: by stage name, in the order of the chain.
        champion: the evaluation of the model in use.
        found: by the experiment that the config names.
        steps: of their funnel.
        log: told of artifacts that have no panels.

    Raises:
        DamagedArtifactError: a stage's panels cannot be read.
    """
    recorded = {}
    for name, artifact in artifacts.items():
        view = kept_view(artifact)
        if view is None:
            log(advice(artifact))
        recorded[name] = Recorded(artifact, view or without_panels(artifact))
    evaluated = artifacts.get(contenders.STAGE)
    extras = Extras(
        _compared(config, champion, evaluated),
        safety_panels(evaluated, artifacts.get("judge")),
        worth_panels(found, artifacts, steps),
    )
    limits = SampleLimits(config.samples, config.sample_characters)
    price = Price(config.hourly_price, config.currency)
    return guide(config.title, recorded, steps, limits, price, extras)


def guide_of(
    built: Artifact, artifacts: Mapping[str, Artifact], log: Callable[[str], None]
) -> Guide:
    """The guide of a report that was built, on the artifacts given, to be shown otherwise.

    Raises:
        DamagedArtifactError: a stage's panels cannot be read.
    """
    config = ReportConfig.model_validate(built.manifest.config)
    ordered = {name: artifacts[name] for name in built.facts["stages"] if name in artifacts}
    for name, read in built.manifest.inputs.items():
        if name in ordered and not same_rows(read, ordered[name]):
            log(f"{name} was built again since the page was made; this tells of the later one")
    champion = next((found for found, _ in _champion(config, built.store).values()), None)
    found = record.kept(built.store, config.experiment) if config.experiment else None
    return guide_on(config, ordered, champion, found, funnel(ordered), log)


def _found(
    config: ReportConfig, inputs: Inputs, store: Store, log: Callable[[str], None]
) -> Finding | None:
    """What the experiment that the config names has found."""
    for told in foretells(config, (), inputs.external):
        log(told)
    files = inputs.external.get(_EXPERIMENT)
    return None if files is None else record.read_item(store, files.items[0])


def _compared(
    config: ReportConfig, champion: Artifact | None, challenger: Artifact | None
) -> list[Panel]:
    """The model in use beside the last one evaluated; what is in the way of that is said."""
    if champion is None or challenger is None:
        return []
    try:
        sides = [
            contenders.contender(config.champion, champion),
            contenders.contender("this recipe", challenger),
        ]
        found = comparing.compare(sides)
    except ExpectedError as error:
        return [Table("Differences", ["not compared"], [[str(error)]])]
    said = Table("Verdict", ["champion and challenger"], [[comparing.in_words(found)]])
    return [said, *comparing.panels(found)]


def _all_outputs(stages: Sequence[Stage]) -> dict[str, Input]:
    """Every stage, in the order of the chapters."""
    found = {stage.name: stage for stage in stages}
    names = list(found)
    for name, stage in found.items():
        if stage.reported_after in found:
            names.remove(name)
            names.insert(names.index(stage.reported_after) + 1, name)
    return {name: _whole(found[name]) for name in names}


def _whole(stage: Stage) -> Input:
    """One output stands for all of a stage: `whole` covers the recipe and every output."""
    output = next(iter(stage.outputs))
    description = f"All that {stage.name} made."
    return Input((f"{stage.name}.{output}",), description, optional=True, whole=True)


def panels(artifact: Artifact) -> list[Panel]:
    """The funnel in short; the page itself says the rest."""
    rows: list[list[Cell]] = [
        [
            *(step[name] for name in ("stage", "in", "kept", "removed", "rejected")),
            "✓" if step["adds_up"] else "✗",
        ]
        for step in artifact.facts["funnel"]
    ]
    columns = ["stage", "in", "kept", "removed", "rejected", "adds up"]
    note = f"Reported on: {', '.join(artifact.facts['stages'])}."
    return [Table("Documents through the stages", columns, rows, note)]


STAGE = Stage(
    name="report",
    version=1,
    description="One self-contained page: how this model was made.",
    config=ReportConfig,
    inputs={_CHAMPION: Input((), "The evaluation of the model in use.", optional=True)},
    named=_champion,
    records=_experiment,
    foretells=foretells,
    inputs_from=_all_outputs,
    outputs={"report": Output(f"{PAGE}: one file that needs no other.")},
    run=run,
    panels=panels,
    reproducible=False,  # the page tells the times, which no two runs share
)
