"""Operator, gateway, Envoy and model server as processes on a real API server: what runs is answered when its model is deleted.

There is no kubelet: the test plays it, and writes the EndpointSlice that its answers would lead to.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from atheria_contract import names
from atheria_contract.generated import inference_pb2 as pb
from atheria_contract.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from atheria_local.control_plane import ControlPlane
from tests.integration.gateway import harness
from tests.integration.gateway.real_cluster import ActivatorProcess, Cluster, own_address
from tests.integration.operator import harness as operator_harness
from tests.integration.server import harness as server_harness

pytestmark = pytest.mark.integration
NAMESPACE = "demo"
MODEL = "busy"


class Kubelet:
    """One node with one pod, whose container is a model server's process."""

    def __init__(self, cluster: Cluster, revision: str) -> None:
        self._cluster = cluster
        self._hash = revision.removeprefix(f"{MODEL}-")
        self._ports = (0, 0)
        self.pod = ""

    def start_pod(self, server: Any) -> None:
        """The pod has a node, and is ready at the server's address."""
        found = server.wait_line(r"event=listening .*grpc_port=(\d+) http_port=(\d+)")
        self._ports = (int(found[1]), int(found[2]))
        self.pod = operator_harness.eventually("the pod", lambda: next(iter(self._pods()), None))
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": self.pod, "namespace": NAMESPACE},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "node"},
        }
        self._cluster.apply(node)
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self.pod}/binding"
        self._cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        self._cluster.kubectl(
            "patch", f"pod/{self.pod}", "-n", NAMESPACE, "--subresource=status", "--type=merge",
            "-p", json.dumps({"status": status}),
        )  # fmt: skip
        self._publish({"ready": True, "serving": True, "terminating": False})

    def is_told_to_end(self) -> bool:
        """Whether somebody has deleted the pod, which stays until the kubelet says that it ended."""
        return bool(self._pods().get(self.pod, {}).get("deletionTimestamp"))

    def end_pod(self, server: Any) -> None:
        """As a kubelet does: SIGTERM, while the pod leaves the ready endpoints."""
        self._publish({"ready": False, "serving": True, "terminating": True})
        server.process.send_signal(signal.SIGTERM)

    def remove_pod(self) -> None:
        """Its process has ended."""
        self._cluster.kubectl("delete", "pod", self.pod, "-n", NAMESPACE, "--force", "--grace-period=0")

    def _pods(self) -> dict[str, Any]:
        found = self._cluster.get("pods", "-n", NAMESPACE, "-l", f"{names.LABEL_MODEL}={MODEL}")["items"]
        return {item["metadata"]["name"]: item["metadata"] for item in found}

    def _publish(self, conditions: dict[str, bool]) -> None:
        labels = {
            names.LABEL_ROLE: names.ROLE_PODS,
            names.LABEL_MODEL: MODEL,
            names.LABEL_REVISION: self._hash,
        }
        self._cluster.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": "IPv4",
                "metadata": {"name": "played", "namespace": NAMESPACE, "labels": labels},
                "endpoints": [{"addresses": [own_address()], "conditions": conditions}],
                "ports": [
                    {"name": names.PORT_NAME_GRPC, "port": self._ports[0]},
                    {"name": names.PORT_NAME_HTTP, "port": self._ports[1]},
                ],
            }
        )


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """An API server with controllers."""
    with ControlPlane(controllers=True) as one:
        yield one


@pytest.fixture
def operator(plane: ControlPlane, tmp_path: Path) -> Iterator[Any]:
    """The operator as a process, with the definitions and its rights."""
    cluster = operator_harness.Cluster(plane)
    cluster.install()
    with operator_harness.running_operator(cluster, tmp_path) as process:
        yield process


@pytest.fixture
async def envoy(
    plane: ControlPlane, operator: Any, run_directory: Path, tmp_path: Path
) -> AsyncIterator[Any]:
    """Envoy and the activator as processes, which report to the operator."""
    cluster = Cluster(plane)
    cluster.install()
    cluster.add_gateway_pod()
    one = harness.Gateway(run_directory)
    await one.start_envoy()
    sink: Any = SimpleNamespace(port=operator.demand_port)
    kubeconfig = cluster.kubeconfig_of_the_gateway(tmp_path / "gateway-kubeconfig")
    activator = ActivatorProcess(one.directory, kubeconfig, sink)
    await activator.start()
    try:
        await one.wait_until_routed()
        yield one
    finally:
        await activator.kill()
        await one.stop()


@pytest.fixture
def server() -> Iterator[Any]:
    """A model server as a process, on an address that an EndpointSlice may carry."""
    arguments = ("--host", own_address(), "--drain-delay", "1s", "--drain-timeout", "60s")
    with server_harness.Server(server_harness.GATE_SOURCE, *arguments, name=MODEL) as one:
        one.http = one.http.replace("127.0.0.1", own_address())
        yield one


def request(gate: str = "") -> Any:
    message = pb.ModelInferRequest(model_name=MODEL)
    message.inputs.add(name="x", datatype="FP32", shape=[1, 1]).contents.fp32_contents.append(1.0)
    if gate:
        message.parameters["gate"].string_param = gate
    return message


async def until(what: str, look: Any, limit_seconds: float = 40) -> None:
    """Wait in a thread: calls go on meanwhile."""
    await asyncio.to_thread(operator_harness.eventually, what, look, limit_seconds)


async def test_complaint_19_calls_that_run_are_answered_when_their_model_is_deleted(
    plane: ControlPlane, operator: Any, envoy: Any, server: Any, tmp_path: Path
) -> None:
    cluster = Cluster(plane)
    space = operator_harness.Namespace(operator_harness.Cluster(plane), NAMESPACE)
    space.apply_model(MODEL, scaling={"minReplicas": 1})
    revision = await asyncio.to_thread(space.wait_active, MODEL)
    kubelet = Kubelet(cluster, revision)
    await asyncio.to_thread(kubelet.start_pod, server)
    await asyncio.to_thread(space.wait_condition, "Ready", "True", "Ready", MODEL)
    gate = server_harness.Gate(tmp_path)
    async with envoy.channel(f"{MODEL}.{NAMESPACE}") as channel:
        stub: Any = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        # One is computed until the test lets it go on, the others wait in the server's queue.
        calls = [asyncio.ensure_future(_infer(stub, request(gate.path)))]
        await asyncio.to_thread(gate.wait_held)
        calls += [asyncio.ensure_future(_infer(stub, request())) for _ in range(20)]
        await asyncio.to_thread(server.wait_in_flight, 21)

        cluster.kubectl("delete", names.MODEL_PLURAL, MODEL, "-n", NAMESPACE, "--wait=false")
        await until("the pod told to end", kubelet.is_told_to_end)
        await asyncio.to_thread(kubelet.end_pod, server)
        gone = f"{names.MODEL_PLURAL}/{MODEL}"
        await until(
            "the model gone", lambda: not cluster.kubectl("get", gone, "-n", NAMESPACE, "--ignore-not-found")
        )

        async def is_unknown() -> bool:
            try:
                await stub.ModelInfer(request(), timeout=10)
            except grpc.aio.AioRpcError as error:
                return error.code() is grpc.StatusCode.NOT_FOUND
            return False

        async with asyncio.timeout(30):
            while not await is_unknown():  # noqa: ASYNC110 - Envoy sets no event
                await asyncio.sleep(0.05)
        # The model is gone, its routes are gone, and what it accepted still runs.
        assert not any(call.done() for call in calls)
        gate.open()
        answers = await asyncio.wait_for(asyncio.gather(*calls), 60)
        assert [list(answer.outputs[0].shape) for answer in answers] == [[1, 1]] * 21
        assert await asyncio.to_thread(server.wait_exit) == 0
    kubelet.remove_pod()
    await until(
        "the pods gone",
        lambda: not cluster.get("pods", "-n", NAMESPACE, "-l", f"{names.LABEL_MODEL}={MODEL}")["items"],
    )


async def _infer(stub: Any, message: Any) -> Any:
    return await stub.ModelInfer(message)
