"""A stage on another work pool: its own deployment is run there, on exactly the given inputs."""

from __future__ import annotations

import time
from shlex import quote

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelling

from flows.deployment_names import deployment_name
from tasks.best_effort import unreachable
from tasks.engine.errors import IngotError
from tasks.engine.identity.snapshot import root
from tasks.engine.run.execute import BuildResult
from tasks.engine.store.published import sound
from tasks.engine.store.store import Store
from tasks.registry import STAGES
from tasks.task_request import TaskRequest

_POLL_SECONDS = 1.0
# A run nobody picks up for this long is worth a word; again after every such time.
_PATIENCE_SECONDS = 30.0


class OtherPoolError(IngotError):
    """A stage could not be run on the pool its config names; says what is amiss there."""


def input_names(request: TaskRequest) -> list[str]:
    """The artifacts a request names, as `stage/build_id/attempt`: what `inputs` of a form takes."""
    return sorted(
        {f"{item.stage}/{item.build_id}/{item.attempt}" for item in request.inputs.values()}
    )


def run_on_pool(request: TaskRequest, pool: str, recipe: str) -> BuildResult:
    """Run a stage through its stage's deployment on a pool, and wait for it.

    A parent that is cancelled or fails while it waits cancels the run it started.

    Raises:
        OtherPoolError: no such pool or deployment, the run failed, or its artifact is not in
            the store that this process sees.
    """
    # Here, not above: it takes a while, and most runs have no other pool.
    from prefect.deployments import run_deployment

    name = request.stage
    log = get_run_logger()
    with get_client(sync_client=True) as client:
        deployment = _deployment(client, name, pool)
        started = run_deployment(
            deployment,
            parameters={
                "recipe": recipe,
                "config": STAGES[name].config.model_validate(request.config).in_form(),
                "inputs": input_names(request),
                "force": request.force,
            },
            timeout=0,
            as_subflow=True,
            # A request sent twice must not start two runs; a retried flow must start another.
            idempotency_key=f"{flow_run.id}-{flow_run.run_count}-{name}-{request.build_id}",
        )
        log.info("%s runs on pool %s as %r", name, pool, started.name)
        try:
            done = _wait(client, started, _idle(client, name, pool, request.home))
        except BaseException:
            client.set_flow_run_state(started.id, Cancelling(message="its parent run ended"))
            raise
    assert done.state is not None
    if not done.state.is_completed():
        raise OtherPoolError(f"{name} on pool {pool}: {done.state.name}: {done.state.message}")
    store, config = (
        Store(request.home),
        STAGES[name].config.model_validate(request.config),
    )
    artifact = sound(store, name, request.build_id, config)
    if artifact is None:
        raise OtherPoolError(
            f"{name} ran on pool {pool}, but its artifact is not in {store.url}: workers of every "
            "pool must see one store (INGOT_HOME: a shared folder or URL) and the same files"
        )
    return BuildResult(artifact, cached=False)


def _deployment(client: SyncPrefectClient, stage: str, pool: str) -> str:
    """Name of the stage's deployment on a pool: its own, or a copy of it made for the pool.

    A run goes to the pool of its deployment, so another pool needs another deployment.
    """
    name = f"{stage}/{deployment_name(stage)}"
    try:
        own = client.read_deployment_by_name(name)
        client.read_work_pool(pool)
    except ObjectNotFound as error:
        raise OtherPoolError(
            f"{stage}: its config asks for work pool {pool!r}, but this Prefect server has no such "
            f"pool or no deployment {name}; run `ingot up` (pools cpu and gpu), or "
            f"`PREFECT_API_URL={_address(client)} prefect work-pool create {pool} --type process` "
            f"and start a worker of it, or clear {stage}.pool"
        ) from error
    if own.work_pool_name == pool:
        return name
    copy = f"{deployment_name(stage)}-{pool}"
    client.create_deployment(
        flow_id=own.flow_id,
        name=copy,
        description=own.description,
        parameters=own.parameters,
        parameter_openapi_schema=own.parameter_openapi_schema,
        enforce_parameter_schema=True,
        entrypoint=own.entrypoint,
        path=own.path,
        pull_steps=own.pull_steps,
        work_pool_name=pool,
        tags=own.tags,
    )
    return f"{stage}/{copy}"


def _address(client: SyncPrefectClient) -> str:
    """Of the server, as `PREFECT_API_URL` has it; without a password."""
    return str(client.api_url.copy_with(userinfo=b"")).rstrip("/")


def _idle(client: SyncPrefectClient, stage: str, pool: str, home: str) -> str:
    """Said where no worker takes the run, with the command that starts one."""
    places = f"INGOT_HOME={quote(home)} INGOT_ROOT={quote(str(root().resolve()))}"
    return (
        f"{stage}: no worker of pool {pool} has picked it up yet; where none runs, start one on "
        f"its machine: PREFECT_API_URL={_address(client)} {places} prefect worker start --pool "
        f"{quote(pool)}"
    )


def _wait(client: SyncPrefectClient, run: FlowRun, idle: str) -> FlowRun:
    """The run once it has ended; says now and then that it has not begun."""
    warned_at = time.monotonic()
    while True:
        try:
            now = client.read_flow_run(run.id)
        except Exception as error:
            if not unreachable(error):
                raise
            time.sleep(_POLL_SECONDS)  # it runs on over there; the server may come back
            continue
        if now.state is not None:
            if now.state.is_final():
                return now
            if now.state.is_scheduled() and time.monotonic() - warned_at > _PATIENCE_SECONDS:
                warned_at = time.monotonic()
                get_run_logger().warning("%s", idle)
        time.sleep(_POLL_SECONDS)
