"""What a person does in Prefect's pages, in a browser, on the real server `ingot up` starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page, expect
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun

from tests.browser import chromium
from tests.flows.command import ingot
from tests.flows.runs import finished
from tests.llm.tokens.small_tokenizer import library_texts
from tests.processes import alive_after
from tests.test_kill_stages import TRAINING, write_rows

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

NAME = "walk.yaml"
TOKENS = 10**9
HOSTILE = (
    "<script>window.ran = 1</script> <img src=x onerror='window.ran = 2'> "
    "[a link](javascript:window.ran=3) said the page, and went on about rivers and their mills."
)
# Seconds: a machine may be busy; pages of Prefect are large.
PATIENCE = 600.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def server(environment: dict[str, str]) -> str:
    """Its address; all is built but the model, whose training would take hours."""
    root = Path(environment["INGOT_ROOT"])
    texts = [part for part in library_texts()[0].split("\n\n") if len(part) > 60]
    write_rows(root / "texts", "0.jsonl", [HOSTILE, *texts])
    pretrain = {**TRAINING["pretrain"], "tokens": TOKENS, "checkpoint_seconds": 86_400.0}
    (root / NAME).write_text(yaml.safe_dump({**TRAINING, "name": "walk", "pretrain": pretrain}))
    said = ingot(environment, "up", "--recipe", NAME, seconds=PATIENCE)
    before = [f"--only={stage}" for stage in TRAINING if stage != "pretrain"]
    ingot(environment, "run", "--recipe", NAME, *before, seconds=PATIENCE)
    return said.split("server started: ")[1].split()[0]


def test_a_person_walks_it(server: str, browser: Browser, environment: dict[str, str]) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(PATIENCE * 1000)
    page.set_default_navigation_timeout(PATIENCE * 1000)
    expect.set_options(timeout=PATIENCE * 1000)
    with SyncPrefectClient(f"{server}/api") as client:
        deployments_are_in_order(page, server)
        run = a_field_is_changed(page, server, client)
        what_it_did_is_found(page, run)
        nothing_hostile_runs(page, server, client)
        other_forms_say_what_is_wrong(page, server, client)
        another_is_cancelled(page, server, client, environment["INGOT_HOME"])
        the_schedule_is_switched_on(page, server, client)
    page.close()
    expect.set_options(timeout=None)


def deployments_are_in_order(page: Page, server: str) -> None:
    page.goto(f"{server}/v2/deployments", wait_until="commit")
    first = page.get_by_role("link", name="00-build")
    expect(first).to_be_visible()
    names = [text.split()[0] for text in page.locator("table tbody tr").all_inner_texts()]
    assert names[:8] == [
        "00-build",
        "00-compare",
        "00-experiment",
        "00-forecast",
        "00-forget",
        "00-learn",
        "00-refresh",
        "01-fetch",
    ]


def until(holds: Callable[[], bool], otherwise: str) -> None:
    """Ask again and again until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(1)


def open_form(
    page: Page, server: str, client: SyncPrefectClient, name: str, field: str, value: str
) -> Locator:
    """The form of a deployment, once it is filled in; that field of it, which shows that value."""
    open_page_of(page, server, client, name)
    found = page.get_by_role("spinbutton", name=field, exact=True)
    expect(found).to_have_value(value)
    return found


def open_page_of(page: Page, server: str, client: SyncPrefectClient, name: str) -> None:
    """The form of a deployment."""
    deployment = client.read_deployment_by_name(name)
    page.goto(f"{server}/v2/deployments/deployment/{deployment.id}/run", wait_until="commit")
    expect(page.get_by_text(NAME, exact=True).first).to_be_visible()
    # Until the page has all it asked for, a press of the button does nothing.
    page.wait_for_load_state("networkidle")


def submitted(page: Page, client: SyncPrefectClient) -> FlowRun:
    """The run that pressing the button made.

    A server whose database is busy answers 503, which the page shows, and one presses again.
    """
    while True:
        with page.expect_response(lambda answer: answer.url.endswith("/create_flow_run")) as made:
            page.get_by_role("button", name="Submit").click()
        if made.value.status != 503:
            assert made.value.ok, made.value.text()
            return client.read_flow_run(made.value.json()["id"])


def a_field_is_changed(page: Page, server: str, client: SyncPrefectClient) -> FlowRun:
    """In dedup's form, where it is the first field; the run ends well, and used it."""
    name = "dedup/08-dedup"
    open_form(page, server, client, name, "Threshold (Optional)", "0.8").fill("0.9")
    run = finished(client, submitted(page, client), PATIENCE)
    assert run.state is not None
    assert run.state.is_completed(), run.state
    assert run.parameters["config"]["threshold"] == 0.9
    page.goto(f"{server}/v2/runs/flow-run/{run.id}", wait_until="commit")
    expect(page.get_by_text("Completed").first).to_be_visible()
    return run


def what_it_did_is_found(page: Page, run: FlowRun) -> None:
    """From the run's artifacts to the overview, and from there to what the stage shows."""
    page.get_by_role("tab", name="Artifacts").click()
    heading = page.get_by_role("heading", name="run", exact=True)
    page.get_by_role("link").filter(has=heading).click()
    expect(page.get_by_text("This run, stage by stage")).to_be_visible()
    page.get_by_role("link", name="plan", exact=True).click()
    expect(page.get_by_title("threshold: 0.8 -> 0.9")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="change-dedup").click()
    expect(page.get_by_text("threshold: 0.8 -> 0.9").first).to_be_visible()


def nothing_hostile_runs(page: Page, server: str, client: SyncPrefectClient) -> None:
    """On every page of an artifact that quotes what the hostile page said."""
    quoting = [each for each in client.read_artifacts() if "window.ran" in str(each.data)]
    assert quoting, "no artifact quotes the page"
    for each in quoting:
        page.goto(f"{server}/v2/artifacts/artifact/{each.id}", wait_until="commit")
        expect(page.get_by_text("said the page, and went on").first).to_be_visible()
        time.sleep(1)  # for an image to fail to load
        assert page.evaluate("window.ran") is None
        assert not page.locator("a[href^='javascript:']").count()


def other_forms_say_what_is_wrong(page: Page, server: str, client: SyncPrefectClient) -> None:
    """Of what forgets, learns and tunes: at once where the form can tell, else in the run."""
    open_page_of(page, server, client, "forget/00-forget")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_text("'pages' is a required property").first).to_be_visible()
    page.get_by_role("button", name="Add item").click()
    page.get_by_role("textbox").nth(1).fill("nobody.example")  # behind the name of the run
    forgets = submitted(page, client)
    replay = open_form(page, server, client, "learn/00-learn", "Replay (Optional)", "0.5")
    replay.fill("1.7")
    page.get_by_role("button", name="Submit").click()
    assert replay.evaluate("field => field.validity.rangeOverflow")
    replay.fill("0.7")
    learns = submitted(page, client)
    open_page_of(page, server, client, "build/00-build")
    page.get_by_text(NAME, exact=True).first.click()
    page.get_by_role("option", name="tune", exact=True).click()
    tunes = submitted(page, client)

    missing = finished(client, forgets, PATIENCE)
    assert missing.state is not None
    assert missing.state.name == "NotFound"
    assert "look at what `ingot trace` makes of it" in str(missing.state.message)
    learned = finished(client, learns, PATIENCE)
    assert learned.parameters["config"]["replay"] == 0.7
    whole_is_read(page, server, client, learned, "add the section, or choose a recipe that has it")
    tuned = finished(client, tunes, PATIENCE)
    whole_is_read(page, server, client, tuned, "correct the path or remove it from the recipe")


def whole_is_read(
    page: Page, server: str, client: SyncPrefectClient, run: FlowRun, way_out: str
) -> None:
    """The page on why a run failed has the way out, and no line of it runs out of the page."""
    its = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    [shown] = [each for each in client.read_artifacts(artifact_filter=its) if each.key == "failure"]
    page.goto(f"{server}/v2/artifacts/artifact/{shown.id}", wait_until="commit")
    said = page.get_by_role("paragraph").filter(has_text=way_out)
    expect(said).to_be_visible()
    assert said.evaluate("each => each.scrollWidth <= each.clientWidth")


def another_is_cancelled(page: Page, server: str, client: SyncPrefectClient, home: str) -> None:
    """One that trains: its trainer ends, and Prefect says so."""
    name = "pretrain/16-pretrain"
    open_form(page, server, client, name, "Tokens (Optional)", str(TOKENS))
    run = submitted(page, client)
    its = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))

    def shown() -> set[str | None]:
        return {each.key for each in client.read_artifacts(artifact_filter=its)}

    until(lambda: "progress-pretrain" in shown(), "it does not train")
    trainers = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if home in " ".join(process.info["cmdline"] or [])
        and "llm.training" in process.info["cmdline"]
    ]
    assert trainers
    page.goto(f"{server}/v2/runs/flow-run/{run.id}", wait_until="commit")
    expect(page.get_by_text("Running").first).to_be_visible()
    page.get_by_role("button", name="Open menu").click()
    page.get_by_role("menuitem", name="Cancel").click()
    page.get_by_role("button", name="Cancel Flow Run").click()
    done = finished(client, run, PATIENCE)
    assert done.state is not None
    assert done.state.is_cancelled(), done.state
    assert not alive_after(trainers, seconds=30)


def the_schedule_is_switched_on(page: Page, server: str, client: SyncPrefectClient) -> None:
    deployment = client.read_deployment_by_name("refresh/00-refresh")
    page.goto(f"{server}/v2/deployments/deployment/{deployment.id}", wait_until="commit")
    page.get_by_role("switch").first.click()
    until(
        lambda: any(each.active for each in client.read_deployment(deployment.id).schedules),
        "it is still off",
    )
