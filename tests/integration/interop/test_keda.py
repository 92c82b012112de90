"""class keda with the real KEDA: its operator and its metrics server ask the operator's external scaler, and scale a model.

Both have the rights of KEDA's own manifests. The metrics server's service is of type ExternalName, since nothing here routes to cluster
addresses: the API server then dials this machine.
"""

from __future__ import annotations

import base64
import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from atheria_contract import names
from atheria_local import programs
from atheria_local.free_ports import free_port
from atheria_local.pki import Authority
from atheria_operator import settings
from bench import installation
from tests.integration.interop.harness import install, needs, running_program
from tests.integration.operator.harness import Namespace, Reporting, eventually, running_operator

pytestmark = [needs("keda"), pytest.mark.timeout(900)]

SECONDS: Final = 240
"""The controllers look for new definitions every 30 s, KEDA tries a scaler again after up to a minute, the operator looks every 30 s."""
EXAMPLE: Final = Path(__file__).parents[3] / "examples" / "keda" / "model.yaml"
KEDA_NAMESPACE: Final = "keda"
ACCOUNT: Final = "keda-operator"
METRICS_SERVICE: Final = "keda-metrics-apiserver"
VARIABLES: Final = {
    "WATCH_NAMESPACE": "",
    "POD_NAMESPACE": KEDA_NAMESPACE,
    "KEDA_CLUSTER_OBJECT_NAMESPACE": KEDA_NAMESPACE,
}
API_SERVICE: Final = "v1beta1.external.metrics.k8s.io"
SCALING: Final = {
    "class": "keda",
    "minReplicas": 0,
    "maxReplicas": 5,
    "target": 4,
    "targetUtilization": 100,
    "scaleDownDelay": "0s",
    "stableWindow": "6s",
    "idleTimeout": "5s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keda:
    """Its two processes."""

    folder: Path
    kubeconfig: Path
    certificates: Path
    metrics_service: str
    authority: bytes


@pytest.fixture(scope="module")
def keda(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keda]:
    """KEDA's operator, by its own service account; its metrics server is not there yet."""
    folder = tmp_path_factory.mktemp("keda")
    install(cluster, programs.kept(programs.KEDA, "config/crd/bases"))
    cluster.kubectl("create", "namespace", KEDA_NAMESPACE)
    cluster.kubectl("create", "serviceaccount", ACCOUNT, "-n", KEDA_NAMESPACE)
    for kind in ("config/rbac", "config/metrics-server"):
        for file in ("role.yaml", "role_binding.yaml"):
            cluster.kubectl("apply", "-f", str(programs.kept(programs.KEDA, kind) / file))
    authority = Authority(folder / "authority")
    issued = authority.issue(
        METRICS_SERVICE, names=["DNS:localhost", f"DNS:{METRICS_SERVICE}.{KEDA_NAMESPACE}.svc"]
    )
    certificates = folder / "certificates"
    certificates.mkdir()
    for name, file in (("tls.crt", issued.certificate), ("tls.key", issued.key), ("ca.crt", authority.certificate)):  # fmt: skip
        shutil.copy(file, certificates / name)
    kubeconfig = installation.kubeconfig_of(
        cluster.plane.kubectl, cluster.plane.kubeconfig, ACCOUNT, folder / "kubeconfig", KEDA_NAMESPACE
    )
    found = Keda(
        folder=folder,
        kubeconfig=kubeconfig,
        certificates=certificates,
        metrics_service=f"localhost:{free_port()}",
        authority=authority.certificate.read_bytes(),
    )
    arguments = [
        f"--kubeconfig={kubeconfig}",
        f"--cert-dir={certificates}",
        f"--metrics-service-bind-address={found.metrics_service}",
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
    ]
    with running_program(programs.KEDA, folder, *arguments, **VARIABLES):
        yield found


def is_available(cluster: Any) -> bool:
    """The API server asks again after pauses of up to 30 s."""
    found = cluster.find("apiservice", API_SERVICE) or {}
    listed = (found.get("status") or {}).get("conditions") or ()
    return any((one["type"], one["status"]) == ("Available", "True") for one in listed)


@pytest.fixture
def metrics_server(cluster: Any, keda: Keda) -> Iterator[None]:
    """KEDA's metrics server behind the API server, as its manifests set it up."""
    port = free_port()
    arguments = [
        f"--secure-port={port}",
        f"--cert-dir={keda.certificates}",
        f"--tls-cert-file={keda.certificates / 'tls.crt'}",
        f"--tls-private-key-file={keda.certificates / 'tls.key'}",
        f"--metrics-service-address={keda.metrics_service}",
        f"--port={free_port()}",
        *(
            f"--{option}={keda.kubeconfig}"
            for option in ("lister-kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
        ),
    ]
    variables = {**VARIABLES, "KUBECONFIG": str(keda.kubeconfig)}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": METRICS_SERVICE, "namespace": KEDA_NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": API_SERVICE},
            "spec": {
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": base64.b64encode(keda.authority).decode(),
                "service": {"name": METRICS_SERVICE, "namespace": KEDA_NAMESPACE, "port": port},
            },
        },
    )
    try:
        with running_program(programs.KEDA, keda.folder, *arguments, name="adapter", **variables):
            eventually("KEDA's metrics behind the API server", lambda: is_available(cluster), SECONDS)
            yield
    finally:
        cluster.kubectl("delete", "apiservice", API_SERVICE)


@pytest.fixture(scope="module")
def operator(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Its external scaler at an address that KEDA reaches from here."""
    port = free_port()
    environment = {
        settings.ENV_EXTERNAL_SCALER_PORT: str(port),
        settings.ENV_EXTERNAL_SCALER_ADDRESS: f"127.0.0.1:{port}",
    }
    with running_operator(cluster, tmp_path_factory.mktemp("operator"), **environment) as found:
        yield found


@pytest.fixture
def space(cluster: Any, operator: Any) -> Iterator[Namespace]:
    """An empty namespace."""
    name = f"keda-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield Namespace(cluster, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def calls(operator: Any, space: Namespace) -> Iterator[Reporting]:
    with Reporting(operator.demand_port, "qca", space.name) as reporting:
        yield reporting


def conditions(space: Namespace, name: str = "qca") -> dict[str, tuple[str, str]]:
    """Status and reason of each condition that KEDA has written of the model's ScaledObject."""
    found = space.cluster.find("scaledobjects.keda.sh", name, "-n", space.name)
    listed = ((found or {}).get("status") or {}).get("conditions") or ()
    return {one["type"]: (one["status"], one.get("reason", "")) for one in listed}


def both(space: Namespace, revision: str) -> tuple[int, int]:
    """Requested and actual pods."""
    return space.replicas("am", "qca"), space.replicas("deployment", revision)


def wait_both(space: Namespace, revision: str, pods: int) -> None:
    eventually(f"{pods} pods", lambda: both(space, revision) == (pods, pods), SECONDS)


def scaler(space: Namespace, status: str, reason: str) -> dict[str, Any]:
    """What the model says of who decides, once it is this: the operator looks by itself within 30 s."""

    def look() -> dict[str, Any] | None:
        found = space.conditions().get("ScalerReady", {})
        return found if (found.get("status"), found.get("reason")) == (status, reason) else None

    return eventually(f"ScalerReady={status} {reason}", look, SECONDS)


def test_keda_scales_a_model_from_zero_by_its_calls_and_to_zero_and_a_switch_leaves_nothing(
    cluster: Any, keda: Keda, metrics_server: None, space: Namespace, calls: Reporting
) -> None:
    calls.say()
    space.apply_model(scaling=SCALING)
    revision = space.wait_active()
    eventually(
        "a ScaledObject that is ready", lambda: conditions(space).get("Ready", ("",))[0] == "True", SECONDS
    )
    # A new model begins with a pod; without calls KEDA takes it away.
    wait_both(space, revision, 0)
    scaler(space, "True", "Keda")

    calls.say(held=1)
    wait_both(space, revision, 1)
    # It scales first, and then says so.
    eventually("KEDA's word on calls", lambda: conditions(space).get("Active", ("",))[0] == "True", SECONDS)
    space.make_ready(revision)
    calls.say(in_flight=10)
    wait_both(space, revision, 3)
    autoscaler = space.get("hpa", "keda-hpa-qca")
    assert autoscaler["spec"]["scaleTargetRef"]["kind"] == names.MODEL_KIND
    (metric,) = autoscaler["spec"]["metrics"]
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "4"}
    calls.say(in_flight=6)
    wait_both(space, revision, 2)
    calls.say()
    wait_both(space, revision, 0)

    calls.say(in_flight=6)
    wait_both(space, revision, 2)
    space.apply_model(scaling={**SCALING, "class": "atheria", "idleTimeout": "1h"})
    eventually(
        "neither ScaledObject nor autoscaler any more",
        lambda: (
            not conditions(space)
            and not space.get("hpa")["items"]
            and "scaledBy" not in space.model()["status"]
        ),
        SECONDS,
    )
    assert both(space, revision) == (2, 2)


def test_while_the_gateways_are_silent_keda_takes_no_pod_away(
    keda: Keda, metrics_server: None, operator: Any, space: Namespace
) -> None:
    with Reporting(operator.demand_port, "qca", space.name) as calls:
        calls.say(in_flight=6)
        space.apply_model(scaling=SCALING)
        revision = space.wait_active()
        wait_both(space, revision, 2)
        # Told as well before: what comes next is looked for all the same.
        scaler(space, "True", "Keda")
    scaler(space, "False", "TriggerError")
    # Its cooldown is over long ago: what is silent is not without calls.
    assert both(space, revision) == (2, 2)
    again = Reporting(operator.demand_port, "qca", space.name)
    again.say(in_flight=6)
    with again:
        scaler(space, "True", "Keda")
        assert both(space, revision) == (2, 2)


def test_a_model_says_that_keda_cannot_scale_it_beyond_one_pod_without_its_metrics_server(
    keda: Keda, space: Namespace, calls: Reporting
) -> None:
    calls.say(in_flight=10)
    space.apply_model(scaling=SCALING)
    revision = space.wait_active()
    wait_both(space, revision, 1)
    eventually(
        "KEDA's word on its autoscaler",
        lambda: conditions(space).get("HPAActive", ("",))[0] == "False",
        SECONDS,
    )
    found = scaler(space, "False", "FailedGetExternalMetric")
    assert "KEDA's metrics server has to serve it" in found["message"]
    assert both(space, revision) == (1, 1)


def test_the_example_is_scaled_by_keda(keda: Keda, operator: Any, space: Namespace) -> None:
    example = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    example["metadata"]["namespace"] = space.name
    name = example["metadata"]["name"]
    with Reporting(operator.demand_port, name, space.name) as calls:
        calls.say(in_flight=1)
        space.cluster.apply(example)
        eventually(
            "KEDA's word on the example",
            lambda: (
                {"Ready": "True", "Active": "True"}.items()
                <= {kind: status for kind, (status, _) in conditions(space, name).items()}.items()
            ),
            SECONDS,
        )
        scaled = space.get("scaledobjects.keda.sh", name)
    assert scaled["status"]["externalMetricNames"] == ["s0-atheria_calls_per_second"]
    assert scaled["spec"]["cooldownPeriod"] == 180


def test_a_model_goes_with_its_scaled_object(keda: Keda, space: Namespace, calls: Reporting) -> None:
    calls.say(held=1)
    space.apply_model(scaling=SCALING)
    wait_both(space, space.wait_active(), 1)
    eventually("KEDA's autoscaler", lambda: bool(space.get("hpa")["items"]), SECONDS)
    space.kubectl("delete", "am", "qca", "--timeout=60s")
    eventually(
        "that nothing is left",
        lambda: (
            not conditions(space) and not space.get("hpa")["items"] and not space.get("deployments")["items"]
        ),
        SECONDS,
    )
    assert json.loads(space.kubectl("get", "scaledobjects.keda.sh", "-o", "json"))["items"] == []
