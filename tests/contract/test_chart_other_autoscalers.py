"""What the chart adds where KEDA or the HorizontalPodAutoscaler controller asks the operator, and that it adds nothing otherwise."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

from atheria_contract import names
from atheria_operator import settings
from atheria_operator.adapters import external_metrics
from tests.contract.chart import SYSTEM_NAMESPACE, Object, render

SCALER = ("--set", "operator.externalScaler.enabled=true")
METRICS = ("--set", "operator.externalMetrics.enabled=true")
HOST = f"atheria-operator.{SYSTEM_NAMESPACE}.svc"


def one(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def container_of(objects: list[Object]) -> Object:
    (found,) = one(objects, "Deployment", "atheria-operator")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def operator(objects: list[Object]) -> tuple[dict[str, str], dict[str, int], dict[str, int]]:
    """Environment, ports of the container and ports of the Service, by name."""
    container = container_of(objects)
    offered = one(objects, "Service", "atheria-operator")["spec"]["ports"]
    return (
        {entry["name"]: entry.get("value", "") for entry in container["env"]},
        {port["name"]: port["containerPort"] for port in container["ports"]},
        {port["name"]: port["port"] for port in offered},
    )


def test_nobody_else_is_let_in_unless_it_is_switched_on() -> None:
    objects = render()
    environment, ports, offered = operator(objects)
    assert not {name for name in environment if "EXTERNAL" in name}
    assert set(ports) == set(offered) == {"demand", "metrics"}
    assert "APIService" not in {item["kind"] for item in objects}


def test_keda_finds_the_operator_where_the_scaled_objects_say() -> None:
    environment, ports, offered = operator(render(*SCALER))
    assert ports["scaler"] == offered["scaler"] == names.PORT_EXTERNAL_SCALER
    found = settings.read_settings(environment)
    assert found.external_scaler_port == names.PORT_EXTERNAL_SCALER
    assert (
        found.external_scaler_address == f"atheria-operator.{SYSTEM_NAMESPACE}:{names.PORT_EXTERNAL_SCALER}"
    )


def test_the_api_server_finds_the_metrics_and_trusts_their_certificate(tmp_path: Path) -> None:
    objects = render(*METRICS)
    environment, ports, offered = operator(objects)
    assert ports["metrics-api"] == offered["metrics-api"] == names.PORT_EXTERNAL_METRICS
    found = settings.read_settings(environment)
    assert found.external_metrics_port == names.PORT_EXTERNAL_METRICS
    mounts = {mount["mountPath"]: mount["name"] for mount in container_of(objects)["volumeMounts"]}
    assert mounts[found.external_metrics_certificates] == "external-metrics"
    service = one(objects, "APIService", f"v1beta1.{external_metrics.GROUP}")["spec"]
    assert service["service"] == {
        "name": "atheria-operator",
        "namespace": SYSTEM_NAMESPACE,
        "port": names.PORT_EXTERNAL_METRICS,
    }
    secret = one(objects, "Secret", "atheria-operator-metrics-api")["data"]
    assert service["caBundle"] == secret["ca.crt"]
    for name in (external_metrics.CERTIFICATE, external_metrics.KEY):
        (tmp_path / name).write_bytes(base64.b64decode(secret[name]))
    assert names_met(base64.b64decode(secret["ca.crt"]).decode(), tmp_path) == (("DNS", HOST),)


def names_met(authority: str, folder: Path) -> Any:
    """The names in the certificate that a client gets which trusts the authority and looks for HOST."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / external_metrics.CERTIFICATE, folder / external_metrics.KEY)
    client = ssl.create_default_context(cadata=authority)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname=HOST)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (asking, answering, asking, answering):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    certificate = asking.getpeercert()
    assert certificate is not None
    return certificate["subjectAltName"]


def test_the_operator_may_know_the_front_proxy_by_kubernetes_own_role() -> None:
    binding = one(render(*METRICS), "RoleBinding", "atheria-operator-front-proxy")
    assert binding["metadata"]["namespace"] == "kube-system"
    assert binding["roleRef"]["name"] == "extension-apiserver-authentication-reader"
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "atheria-operator", "namespace": SYSTEM_NAMESPACE}
    ]


def test_network_policies_open_exactly_these_ports() -> None:
    policy = ("--set", "networkPolicy.enabled=true")

    def opened(*arguments: str) -> set[str]:
        rules = one(render(*policy, *arguments), "NetworkPolicy", "atheria-operator")["spec"]["ingress"]
        return {str(port["port"]) for rule in rules for port in rule["ports"]}

    assert opened(*SCALER) - opened() == {"scaler"}
    assert opened(*METRICS) - opened() == {"metrics-api"}
