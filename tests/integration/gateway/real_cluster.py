"""A real API server for the gateway's tests: the chart's CRD and RBAC, a model at zero, and the activator as its own process.

There is no kubelet and there are no controllers: a test plays them by writing EndpointSlices.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from atheria_contract import names
from atheria_contract.generated import control_pb2, control_pb2_grpc
from atheria_local.control_plane import ControlPlane
from atheria_local.definitions import wait_established
from atheria_local.free_ports import free_port
from bench import installation
from bench.installation import CHART, SYSTEM_NAMESPACE

GATEWAY_POD_ADDRESS = "10.244.0.9"


def own_address() -> str:
    """An address of this machine that an EndpointSlice may carry: a loopback address is not allowed there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        # Nothing is sent: this only asks the kernel for the source address of a route.
        one.connect(("192.0.2.1", 9))
        return str(one.getsockname()[0])


class Cluster:
    """kubectl on a running control plane."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl; AssertionError with its words when it fails."""
        done = subprocess.run(
            [*self._plane.kubectl, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects."""
        self.kubectl(
            "apply",
            "--server-side",
            "-f",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}),
        )

    def get(self, *arguments: str) -> Any:
        """An object as JSON."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def install(self) -> None:
        """The CRD, both namespaces, and the service account with the rights that the chart gives it."""
        self.kubectl(
            "apply",
            "--server-side",
            "-f",
            str(CHART / "files" / "crds" / "atheria.dev_atheriamodels.yaml"),
        )
        wait_established(self._plane.kubectl, "atheriamodels.atheria.dev")
        self.apply(
            *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (SYSTEM_NAMESPACE, "demo")),
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": SYSTEM_NAMESPACE}},
        )  # fmt: skip
        self.apply(*installation.rendered_rights("gateway-rbac"))

    def kubeconfig_of_the_gateway(self, file: Path) -> Path:
        """A kubeconfig with the service account's token."""
        return installation.kubeconfig_of(
            self._plane.kubectl, self._plane.kubeconfig, "atheria-gateway", file
        )

    def add_gateway_pod(self) -> None:
        """A ready pod with the labels of the gateway's Deployment."""
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": "gateway-0",
                    "namespace": SYSTEM_NAMESPACE,
                    "labels": {names.LABEL_COMPONENT: "gateway"},
                },
                "spec": {"containers": [{"name": "envoy", "image": "none"}]},
            }
        )
        status = {
            "podIP": GATEWAY_POD_ADDRESS,
            "podIPs": [{"ip": GATEWAY_POD_ADDRESS}],
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        self._patch_status("pod/gateway-0", SYSTEM_NAMESPACE, status)

    def add_model(self, name: str, revision: str = "abc12345") -> None:
        """An AtheriaModel at zero with the Deployment and the Service that the operator makes."""
        labels = {names.LABEL_MODEL: name, names.LABEL_REVISION: revision}
        self.apply(
            {
                "apiVersion": names.API_VERSION,
                "kind": names.MODEL_KIND,
                "metadata": {"name": name, "namespace": "demo"},
                "spec": {"model": {"source": "builtin://echo"}},
            },
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": f"{name}-{revision}", "namespace": "demo", "labels": labels},
                "spec": {
                    "replicas": 0,
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {"containers": [{"name": names.CONTAINER_MODEL, "image": "none"}]},
                    },
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {
                    "name": name,
                    "namespace": "demo",
                    "labels": {names.LABEL_ROLE: names.ROLE_GATEWAY, names.LABEL_MODEL: name},
                },
                "spec": {
                    "ports": [
                        {"name": names.PORT_NAME_GRPC, "port": names.PORT_GRPC},
                        {"name": names.PORT_NAME_HTTP, "port": names.PORT_HTTP},
                    ]
                },
            },
        )
        self._patch_status(f"{names.MODEL_PLURAL}/{name}", "demo", {"activeRevision": f"{name}-{revision}"})

    def set_pods(
        self, name: str, address: str | None, ports: tuple[int, int], revision: str = "abc12345"
    ) -> None:
        """The EndpointSlice of the revision's headless Service: one ready pod, or none."""
        endpoints = [] if address is None else [{"addresses": [address], "conditions": {"ready": True}}]
        self.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": "IPv4",
                "metadata": {
                    "name": f"{name}-{revision}-x1",
                    "namespace": "demo",
                    "labels": {
                        names.LABEL_ROLE: names.ROLE_PODS,
                        names.LABEL_MODEL: name,
                        names.LABEL_REVISION: revision,
                    },
                },
                "endpoints": endpoints,
                "ports": [
                    {"name": names.PORT_NAME_GRPC, "port": ports[0]},
                    {"name": names.PORT_NAME_HTTP, "port": ports[1]},
                ],
            }
        )  # fmt: skip

    def replicas(self, kind: str, name: str) -> int:
        """spec.replicas of an object in namespace demo."""
        return int(self.get(kind, name, "-n", "demo")["spec"]["replicas"])

    def _patch_status(self, what: str, namespace: str, status: dict[str, Any]) -> None:
        self.kubectl(
            "patch", what, "-n", namespace, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})
        )  # fmt: skip


class Sink(control_pb2_grpc.DemandSinkServicer):
    """The operator's demand sink, keeping all reports."""

    def __init__(self) -> None:
        self.reports: list[Any] = []
        self.port = 0
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port, the same one again after a stop."""
        self._server = grpc.aio.server()
        control_pb2_grpc.add_DemandSinkServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """End all streams at once."""
        if self._server is not None:
            await self._server.stop(0)

    async def Report(self, requests: AsyncIterator[Any], _: Any) -> AsyncIterator[Any]:
        """Take reports for ever."""
        async for report in requests:
            self.reports.append(report)
            yield control_pb2.DemandAck(sequence=report.sequence, models=len(report.models))

    def has_held(self, name: str) -> bool:
        """Whether a report said that calls wait for a model of namespace demo."""
        return any(
            line.name == name and line.namespace == "demo" and line.held_requests > 0
            for report in self.reports
            for line in report.models
        )


class ActivatorProcess:
    """`atheria-gateway run` as the container starts it, with a kubeconfig in place of the pod's own credentials."""

    def __init__(self, directory: Path, kubeconfig: Path, sink: Sink) -> None:
        self.metrics_port = free_port()
        self._log = directory / "activator.log"
        self._process: asyncio.subprocess.Process | None = None
        self._environment = installation.activator_environment(
            kubeconfig,
            run_directory=directory,
            demand_target=f"127.0.0.1:{sink.port}",
            metrics_port=self.metrics_port,
        )

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(encoding="utf-8")

    async def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                installation.program("atheria-gateway"),
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    async def kill(self) -> None:
        """SIGKILL, and wait."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def terminate(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self._process is not None
        self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), 60)
