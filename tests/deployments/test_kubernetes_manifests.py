"""deployments/k8s, held against Kubernetes' schema, Prefect's, and Ingot's own commands."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import typer
import yaml
from prefect.client.orchestration import PrefectClient

from flows.cli.main import application
from llm.process.safe_path import CHECKOUT
from tasks.registry import STAGES

FOLDER = CHECKOUT / "deployments" / "k8s"
PAGE = (CHECKOUT / "docs" / "clusters.md").read_text(encoding="utf-8")
VERSION = "1.33"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
RECIPES = {"dask.yaml", "kuberay.yaml", "training.yaml"}  # applied one by one
POOLS = ["cpu-pool.json", "gpu-pool.json"]
OTHERS = {"postgres", "redis", "redis-cli", "pg_isready", "bash", "env", "prefect", "dask"}


def documents(name: str) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all((FOLDER / name).read_text()) if found]


def pods(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The pod specs in it, those of a RayCluster too."""
    spec = document.get("spec", {})
    for owner in [spec, spec.get("headGroupSpec", {}), *spec.get("workerGroupSpecs", [])]:
        if "template" in owner:
            yield owner["template"]["spec"]


def rendered(name: str) -> dict[str, Any]:
    """The job that a pool's template is with its defaults."""
    template = json.loads((FOLDER / name).read_text())
    fields = template["variables"]["properties"]

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner) for inner in value]
        whole = re.fullmatch(r"\{\{ (\w+) \}\}", value) if isinstance(value, str) else None
        if whole:
            return {"command": ["prefect"], "env": []}.get(whole[1], fields[whole[1]]["default"])
        return re.sub(r"\{\{ \w+ \}\}", "a-run", value) if isinstance(value, str) else value

    job: dict[str, Any] = filled(template["job_configuration"]["job_manifest"])
    return job


@pytest.mark.parametrize("name", [name for name in FILES if name != "kuberay.yaml"])
def test_manifests_are_what_kubernetes_takes(name: str) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    assert documents(name)
    for document in documents(name):
        validate(document, VERSION, strict=True)


@pytest.mark.parametrize("name", POOLS)
def test_the_job_of_a_pool_is_what_kubernetes_takes(name: str) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate
    job = rendered(name)
    spec = job["spec"]["template"]["spec"]
    # What Prefect writes into a pod's spec, though it belongs to the job's, the server drops.
    assert (spec.pop("parallelism"), spec.pop("completions")) == (1, 1)
    validate(job, VERSION, strict=True)
    limits = spec["containers"][0]["resources"]["limits"]
    assert ("nvidia.com/gpu" in limits) is name.startswith("gpu")


@pytest.mark.parametrize("name", POOLS)
def test_the_template_of_a_pool_is_what_prefect_s_worker_takes(name: str) -> None:
    worker = pytest.importorskip("prefect_kubernetes.worker")
    template = json.loads((FOLDER / name).read_text())
    asked = set(re.findall(r"\{\{ (\w+) \}\}", (FOLDER / name).read_text()))
    assert asked == set(template["variables"]["properties"])
    configuration = asyncio.run(
        worker.KubernetesWorkerJobConfiguration.from_template_and_values(
            base_job_template=template,
            values={"cpu": "2", "env": {"A": "b"}},
            client=PrefectClient("http://127.0.0.1:9/api"),  # nothing is asked of it
        )
    )
    [container] = configuration.job_manifest["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == "2"
    assert configuration.namespace == "ingot"


@pytest.mark.parametrize("name", FILES)
def test_every_pod_says_what_it_may_and_needs(name: str) -> None:
    for document in documents(name):
        for pod in pods(document):
            for container in pod["containers"]:
                resources = container["resources"]
                assert {"cpu", "memory"} <= set(resources["requests"])
                assert "memory" in resources["limits"]
                if document["apiVersion"] != "ray.io/v1":  # the operator writes those itself
                    assert container["securityContext"]["allowPrivilegeEscalation"] is False
                    assert pod["securityContext"]["runAsNonRoot"] is True
                words = container.get("command", [])
                assert not words or words[0] in OTHERS


def test_what_is_named_is_there() -> None:
    """Config maps by these files, secrets by the page; selectors by the labels of pods."""
    everything = [document for name in FILES for document in documents(name)]
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert set(kustomization["resources"]) == set(FILES) - RECIPES
    maps = {made["name"] for made in kustomization["configMapGenerator"]}
    maps |= {d["metadata"]["name"] for d in everything if d["kind"] == "ConfigMap"}
    secrets = set(re.findall(r"create secret generic ([\w-]+)", PAGE))
    claims = {d["metadata"]["name"] for d in everything if d["kind"] == "PersistentVolumeClaim"}
    text = "".join((FOLDER / name).read_text() for name in [*FILES, *POOLS]).replace('"', "")
    assert set(re.findall(r"configMapRef: ?\{\n?\s*name: ([\w-]+)", text)) <= maps
    assert set(re.findall(r"(?:secretRef|secretKeyRef): ?\{\n?\s*name: ([\w-]+)", text)) == secrets
    assert set(re.findall(r"claimName: ([\w-]+)", text)) == claims
    labels = [d["spec"]["template"].get("metadata", {}).get("labels") for d in everything
              if "template" in d.get("spec", {})]  # fmt: skip
    for service in (d for d in everything if d["kind"] == "Service"):
        assert service["spec"]["selector"] in labels


@pytest.mark.parametrize("name", FILES)
def test_ingot_s_commands_and_fields_are_there(name: str) -> None:
    commands = typer.main.get_command(application()).commands  # type: ignore[attr-defined]
    text = (FOLDER / name).read_text().replace("\\\n", " ")
    for command, rest in re.findall(r"(?:exec |`)ingot ([a-z]+)([^`\n]*)", text):
        options = {option for found in commands[command].params for option in found.opts}
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= options
    for stage, field in re.findall(r"--set ([a-z]+)\.([a-z_]+)=", text):
        assert field in STAGES[stage].config.model_fields


def test_settings_of_prefect_are_there() -> None:
    from prefect.settings import Settings
    from prefect.settings.legacy import _get_valid_setting_names

    known = set(_get_valid_setting_names(Settings))
    compose = CHECKOUT / "deployments" / "docker" / "compose.yaml"
    text = compose.read_text() + "".join((FOLDER / name).read_text() for name in FILES)
    named = set(re.findall(r"\bPREFECT_\w+", text)) - {"PREFECT_AUTH"}
    of_libraries = {name for name in named if name.startswith(("PREFECT_REDIS", "PREFECT_INTEG"))}
    assert named - of_libraries <= known


@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl")
def test_kubectl_puts_them_together() -> None:
    made = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER)], capture_output=True, text=True, check=True
    )
    found = [document for document in yaml.safe_load_all(made.stdout) if document]
    kinds = {document["kind"] for document in found}
    assert {"Namespace", "StatefulSet", "Deployment", "Job", "RoleBinding"} <= kinds
    spaces = {d["metadata"].get("namespace") for d in found if d["kind"] != "Namespace"}
    assert spaces == {"ingot"}
    assert "image: ingot\n" not in made.stdout


def test_the_compose_file_asks_for_secrets_and_binds_here() -> None:
    text = (CHECKOUT / "deployments" / "docker" / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    for secret in re.findall(r"\$\{([^}]*)\}", text):
        assert ":?" in secret, "a password that was not set must not be empty"
