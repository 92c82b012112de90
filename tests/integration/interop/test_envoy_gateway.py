"""The routes of docs/migration/kserve.md with the real Envoy Gateway: it accepts them, and a real Envoy that it configures moves calls by weight.

Envoy Gateway makes no Envoys here, as there is no node: one of the tests takes its configuration from it.
"""

from __future__ import annotations

import asyncio
import copy
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc
import pytest
import yaml

from atheria_contract import names
from atheria_gateway.core.mirror import GatewayPod, gateway_slice
from atheria_gateway.core.model import ModelKey, model_from_object
from atheria_local import programs
from atheria_local.free_ports import free_port
from atheria_local.pki import Authority
from bench import installation
from tests.integration.gateway import harness as gateways
from tests.integration.gateway.harness import Watched
from tests.integration.gateway.real_cluster import own_address
from tests.integration.interop.harness import LOGS, documented, install, needs, running_program
from tests.integration.operator.harness import Namespace, eventually, running_operator

pytestmark = [needs("envoy-gateway"), pytest.mark.timeout(600)]

PAGE: Final = "migration/kserve.md"
CONTROLLER: Final = "gateway.envoyproxy.io/gatewayclass-controller"
API: Final = "gateway.networking.k8s.io/v1"
CONFIGURATION_PORT: Final = 18000
"""Of Envoy Gateway, which has no setting for it."""
MODEL: Final = ModelKey(namespace="models-atheria", name="classifier")
HOST: Final = "classifier.example.com"
SECONDS: Final = 120


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of both ends of Envoy's configuration."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder / "authority")
    issued = authority.issue("envoy-gateway", names=["DNS:envoy-gateway"])
    for name, file in (("tls.crt", issued.certificate), ("tls.key", issued.key), ("ca.crt", authority.certificate)):  # fmt: skip
        shutil.copy(file, folder / name)
    return folder


@pytest.fixture(scope="module")
def envoy_gateway(
    cluster: Any, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """With a Gateway `public` in the namespace of the old model; the port that it listens on."""
    definitions = programs.kept(programs.ENVOY_GATEWAY, "charts/gateway-helm/charts/crds/crds")
    install(cluster, definitions)
    install(cluster, definitions / "generated")
    for namespace in ("envoy-gateway-system", "models", MODEL.namespace):
        cluster.kubectl("create", "namespace", namespace)
    # What its job makes before it is started: its Envoys' certificate, and a key for logins.
    system = ("-n", "envoy-gateway-system")
    files = [f"--from-file={certificates / name}" for name in ("tls.crt", "tls.key", "ca.crt")]
    cluster.kubectl("create", "secret", "generic", "envoy", *files, *system)
    key = f"--from-literal=hmac-secret={'0' * 32}"
    cluster.kubectl("create", "secret", "generic", "envoy-oidc-hmac", key, *system)
    port = free_port()
    cluster.apply(
        {
            "apiVersion": API,
            "kind": "GatewayClass",
            "metadata": {"name": "eg"},
            "spec": {"controllerName": CONTROLLER},
        },
        {
            "apiVersion": API,
            "kind": "Gateway",
            "metadata": {"name": "public", "namespace": "models"},
            "spec": {
                "gatewayClassName": "eg",
                "listeners": [{"name": "http", "protocol": "HTTP", "port": port}],
            },
        },
    )
    arguments = [f"--kubeconfig={cluster.plane.kubeconfig}", f"--certificates={certificates}"]
    with running_program(programs.ENVOY_GATEWAY, tmp_path_factory.mktemp("envoy-gateway"), *arguments):
        yield port


@pytest.fixture(scope="module")
def service(
    cluster: Any, envoy_gateway: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """The AtheriaModel's own Service, by the operator."""
    space = Namespace(cluster, MODEL.namespace)
    with running_operator(cluster, tmp_path_factory.mktemp("operator")):
        space.apply_model(MODEL.name)
        space.wait_active(MODEL.name)
        yield eventually(
            "the model's Service", lambda: cluster.find("service", MODEL.name, "-n", MODEL.namespace)
        )


@pytest.fixture(scope="module")
def routes(cluster: Any, service: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the page, applied without the grant."""
    objects = documented(PAGE, "HTTPRoute")
    cluster.apply(*(item for item in objects if item["kind"] != "ReferenceGrant"))
    return objects


def told_of(cluster: Any, kind: str) -> dict[str, tuple[str, str]]:
    """Status and reason of what Envoy Gateway says of the route."""
    found = cluster.get(kind, MODEL.name, "-n", "models")
    parents = (found.get("status") or {}).get("parents") or ()
    return {
        one["type"]: (one["status"], one["reason"])
        for parent in parents
        if parent["controllerName"] == CONTROLLER
        for one in parent["conditions"]
    }


def wait_told(cluster: Any, kind: str, **wanted: tuple[str, str]) -> None:
    eventually(f"{wanted} of {kind}", lambda: wanted.items() <= told_of(cluster, kind).items(), SECONDS)


def back_end(cluster: Any, name: str, namespace: str, address: str, port: int) -> None:
    """A Service without a selector, and the pod behind it."""
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ports": [{"name": "http", "port": 80}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "addressType": "IPv4",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": name},
            },
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "http", "port": port}],
        },
    )


@pytest.fixture
async def gateway(cluster: Any, routes: Any, run_directory: Path) -> AsyncIterator[Any]:
    """A gateway of Atheria's with a pod of the model, and the EndpointSlice that it writes for the model's Service."""
    pod = await gateways.Pod("atheria").start()
    one = gateways.Gateway(run_directory)
    one.listen_address = "0.0.0.0"  # EndpointSlices take no loopback addresses.
    one.kube.put(Watched.MODELS, gateways.model_object(MODEL, replicas=1))
    one.kube.set_pod(MODEL, pod.ports)
    try:
        await one.start_envoy()
        await one.start_activator()
        await one.wait_until_routed()
        model = model_from_object(cluster.get(names.MODEL_PLURAL, MODEL.name, "-n", MODEL.namespace))
        slice_ = gateway_slice(model, [GatewayPod(address=own_address(), ready=True)])
        assert slice_ is not None
        for port in slice_["ports"]:
            port["port"] = one.ports[0 if port["name"] == names.PORT_NAME_GRPC else 1]
        cluster.apply(slice_)
        yield one
    finally:
        await one.stop()
        await pod.stop()


@pytest.fixture
async def envoy(envoy_gateway: int, certificates: Path, tmp_path: Path) -> AsyncIterator[str]:
    """An Envoy that Envoy Gateway configures as one of the Gateway's; host:port of its listener."""
    client = {
        "certificate_chain": {"filename": str(certificates / "tls.crt")},
        "private_key": {"filename": str(certificates / "tls.key")},
    }
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [client],
            "validation_context": {"trusted_ca": {"filename": str(certificates / "ca.crt")}},
        },
    }
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": CONFIGURATION_PORT}}
    source = {"ads": {}, "resource_api_version": "V3"}
    bootstrap = {
        "node": {"id": "public-0", "cluster": "models/public"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "configuration"}}],
            },
            "lds_config": source,
            "cds_config": source,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "configuration",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "configuration",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                    },
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
                    },
                    "transport_socket": {"name": "tls", "typed_config": context},
                }
            ]
        },
    }
    file = tmp_path / "envoy.yaml"
    file.write_text(yaml.safe_dump(bootstrap), encoding="utf-8")
    LOGS.add(tmp_path / "envoy.log")
    with (tmp_path / "envoy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *installation.envoy_command(file), stdout=log, stderr=log
        )
        try:
            yield f"127.0.0.1:{envoy_gateway}"
        finally:
            process.kill()
            await process.wait()


async def called(session: aiohttp.ClientSession, target: str) -> str:
    """Which pod has answered a call from outside, or an empty text."""
    try:
        async with session.get(f"http://{target}/v2/models/classifier", headers={"host": HOST}) as answer:
            return str((await answer.json())["pod"]) if answer.status == 200 else ""
    except aiohttp.ClientError:
        return ""


def test_the_route_is_accepted_and_the_grant_lets_it_reach_the_models_service(
    cluster: Any, routes: list[dict[str, Any]]
) -> None:
    back_end(cluster, "classifier-predictor", "models", own_address(), free_port())
    wait_told(cluster, "httproute", Accepted=("True", "Accepted"), ResolvedRefs=("False", "RefNotPermitted"))
    cluster.apply(*(item for item in routes if item["kind"] == "ReferenceGrant"))
    wait_told(cluster, "httproute", Accepted=("True", "Accepted"), ResolvedRefs=("True", "ResolvedRefs"))


async def answer_once_routed(channel: Any) -> bytes:
    """What is told of a route and what its Envoy has come by two ways; until then there is no such method."""
    call = channel.unary_unary("/t.S/Unary")
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                answer: bytes = await call(b"x", timeout=SECONDS, wait_for_ready=True)
                return answer
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE):
                    raise
            await asyncio.sleep(0.05)


async def test_calls_move_by_weight_and_reach_the_model_by_its_header_also_by_grpc(
    cluster: Any, routes: list[dict[str, Any]], gateway: Any, envoy: str
) -> None:
    cluster.apply(*routes)
    old = await gateways.Pod("kserve", address=own_address()).start()
    back_end(cluster, "classifier-predictor", "models", own_address(), old.ports[1])
    grpc_route = copy.deepcopy(next(item for item in routes if item["kind"] == "HTTPRoute"))
    grpc_route["kind"] = "GRPCRoute"
    grpc_route["spec"]["hostnames"] = ["grpc.example.com"]
    (rule,) = grpc_route["spec"]["rules"]
    rule["backendRefs"] = [{**rule["backendRefs"][1], "port": names.PORT_GRPC}]
    grant = copy.deepcopy(next(item for item in routes if item["kind"] == "ReferenceGrant"))
    grant["metadata"]["name"] = "grpc"
    grant["spec"]["from"][0]["kind"] = "GRPCRoute"
    cluster.apply(grpc_route, grant)
    try:
        wait_told(cluster, "grpcroute", Accepted=("True", "Accepted"), ResolvedRefs=("True", "ResolvedRefs"))
        async with aiohttp.ClientSession() as session:
            answered: list[str] = []
            async with asyncio.timeout(SECONDS):
                while {"kserve", "atheria"} - set(answered):
                    answered.append(await called(session, envoy))
                    await asyncio.sleep(0.02)
            more = [await called(session, envoy) for _ in range(200)]
        assert set(more) == {"kserve", "atheria"}
        assert more.count("kserve") > more.count("atheria")
        options = [("grpc.default_authority", "grpc.example.com")]
        async with grpc.aio.insecure_channel(envoy, options=options) as channel:
            assert await answer_once_routed(channel) == b"x"
    finally:
        await old.stop()
