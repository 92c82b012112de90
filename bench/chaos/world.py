"""The control plane of a run with its two models: what it begins with, and what people change in it."""

from __future__ import annotations

import asyncio
import copy
import json
import subprocess
from pathlib import Path
from typing import Any, Final

from atheria_contract import names
from atheria_local.control_plane import ControlPlane
from atheria_local.definitions import wait_established
from bench import installation
from bench.chaos.api import MERGE, Api, ApiError
from bench.chaos.node import NODE

NAMESPACE: Final = "chaos"
TWINS: Final = "twins"
"""Namespace of undisturbed models with the specs that the run ended with: what its children must be equal to."""
STEADY: Final = "steady"
WAVES: Final = "waves"
MODELS: Final = (STEADY, WAVES)
_BASE: Final[dict[str, Any]] = {
    "model": {"source": "python://bench.chaos.ledger_model:LedgerApi"},
    # Calls are held for as long as an outage in a swap lasts: bounds are for more than that.
    "concurrency": {"maxQueueDepth": 4096},
    "scaling": {
        "minReplicas": 0,
        "maxReplicas": 2,
        "initialReplicas": 0,
        "target": 2,
        "idleTimeout": "5s",
        "scaleDownDelay": "5s",
    },
    "rollout": {
        "strategy": "surge",
        "steps": [50, 100],
        "stepDuration": "5s",
        # Killed pods make errors; whether a canary is judged rightly is asked elsewhere.
        "analysis": {"maxErrorRatio": 1, "maxP95Ratio": 100, "minCalls": 0},
    },
}


class World:
    """The objects of one run."""

    def __init__(self, plane: ControlPlane, api: Api) -> None:
        self.plane = plane
        self.api = api
        self.specs: dict[str, dict[str, Any]] = {model: copy.deepcopy(_BASE) for model in MODELS}
        """What people asked for last, by model."""

    def install(self, folder: Path) -> tuple[Path, Path]:
        """Definitions, profiles, rights of the chart, namespaces, a gateway pod; kubeconfigs of operator and gateway."""
        kubectl = self.plane.kubectl
        files = installation.CHART / "files"
        _run([*kubectl, "apply", "--server-side", "-f", str(files / "crds")])
        wait_established(kubectl)
        _run([*kubectl, "apply", "--server-side", "-f", str(files / "profiles")])
        for namespace in (installation.SYSTEM_NAMESPACE, NAMESPACE, TWINS):
            _run([*kubectl, "create", "namespace", namespace])
        rights = {
            "apiVersion": "v1",
            "kind": "List",
            "items": installation.rendered_rights("operator-rbac", "gateway-rbac"),
        }
        _run([*kubectl, "apply", "-f", "-"], json.dumps(rights))
        _run(
            [*kubectl, "wait", "--for=create", "serviceaccount/default",
             "-n", installation.SYSTEM_NAMESPACE, "--timeout=30s"]
        )  # fmt: skip
        operator, gateway = (
            installation.kubeconfig_of(
                kubectl, self.plane.kubeconfig, f"atheria-{part}", folder / f"{part}.kubeconfig"
            )
            for part in ("operator", "gateway")
        )
        return operator, gateway

    async def add_gateway_pod(self, name: str, address: str) -> None:
        """A pod with the labels of the gateway's Deployment, so that Services lead to it once it is ready."""
        path = f"/api/v1/namespaces/{installation.SYSTEM_NAMESPACE}/pods"
        await self.api.call(
            "POST",
            path,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": {names.LABEL_COMPONENT: "gateway"}},
                "spec": {"containers": [{"name": "envoy", "image": "none"}], "nodeName": NODE},
            },
        )
        await self.say_gateway_pod(name, address, is_ready=False)

    async def say_gateway_pod(self, name: str, address: str, *, is_ready: bool) -> None:
        """Write the pod's status as kubelet does."""
        status = {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": str(is_ready)}],
        }
        path = f"/api/v1/namespaces/{installation.SYSTEM_NAMESPACE}/pods/{name}/status"
        await self.api.call("PATCH", path, {"status": status}, content_type=MERGE)

    async def create(self, model: str, namespace: str = NAMESPACE) -> None:
        """Apply a model with its present spec."""
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.MODEL_KIND,
            "metadata": {"name": model, "namespace": namespace},
            "spec": self.specs[model],
        }
        await self.api.call("POST", models_path(namespace), body)

    async def change(self, model: str, section: str, **fields: Any) -> None:
        """Change some fields of a section of the spec, as a person does."""
        self.specs[model].setdefault(section, {}).update(fields)
        await self.api.call(
            "PATCH", f"{models_path()}/{model}", {"spec": {section: fields}}, content_type=MERGE
        )

    async def model(self, model: str, namespace: str = NAMESPACE) -> dict[str, Any]:
        """The model as it is stored."""
        found: dict[str, Any] = await self.api.call("GET", f"{models_path(namespace)}/{model}")
        return found

    async def deployments(self, model: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
        """Its Deployments."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        return await self.api.items(path, f"{names.LABEL_MODEL}={model}")

    async def children(self, model: str) -> list[tuple[str, dict[str, Any]]]:
        """(path, object) of all that a model owns, in order of the path; those that controllers make of it are not among it."""
        found: list[tuple[str, dict[str, Any]]] = []
        for group, kind in CHILDREN:
            path = f"{group}/namespaces/{NAMESPACE}/{kind}"
            try:
                items = await self.api.items(path, f"{names.LABEL_MODEL}={model}")
            except ApiError as error:
                raise ApiError(error.status, f"children of {model}: {error}") from error
            found += [(f"{path}/{item['metadata']['name']}", item) for item in items]
        return sorted(found, key=lambda one: one[0])


CHILDREN: Final = (
    ("/apis/apps/v1", "deployments"),
    ("/api/v1", "services"),
    ("/api/v1", "configmaps"),
    ("/api/v1", "serviceaccounts"),
)


def models_path(namespace: str = NAMESPACE) -> str:
    """Of the AtheriaModels in a namespace."""
    return f"/apis/{names.API_VERSION}/namespaces/{namespace}/{names.MODEL_PLURAL}"


async def eventually(what: str, look: Any, timeout_seconds: float) -> Any:
    """The first answer of the coroutine function `look` that is not None or False. TimeoutError with `what`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    while True:
        found = await look()
        if found is not None and found is not False:
            return found
        if loop.time() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_seconds:g} s")
        await asyncio.sleep(0.3)


def _run(command: list[str], stdin: str | None = None) -> None:
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, timeout=90, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[-6:])}: {done.stderr.strip()}")
