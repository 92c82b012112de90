"""class hpa: the real HorizontalPodAutoscaler controller reads the operator's metric through the API server's aggregation layer.

The service is of type ExternalName, since nothing here routes to cluster addresses: the API server then dials this machine.
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from atheria_contract import names
from tests.integration.operator.harness import METRICS_SERVICE, SYSTEM_NAMESPACE, Reporting, eventually

pytestmark = pytest.mark.timeout(400)
SECONDS = 90
"""The controllers look for new definitions every 30 s."""
SCALING = {
    "class": "hpa",
    "maxReplicas": 5,
    "target": 4,
    "targetUtilization": 100,
    "scaleDownDelay": "0s",
    "stableWindow": "6s",
    "idleTimeout": "1h",
}


@pytest.fixture(scope="module")
def metrics_api(operator: Any, cluster: Any) -> Iterator[None]:
    """The operator behind the API server, as the chart sets it up."""
    port = operator.port("external_metrics_port")
    authority = (operator.certificates / "ca.crt").read_bytes()
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": METRICS_SERVICE, "namespace": SYSTEM_NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
            "spec": {
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": base64.b64encode(authority).decode(),
                "service": {"name": METRICS_SERVICE, "namespace": SYSTEM_NAMESPACE, "port": port},
            },
        },
    )
    cluster.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.external.metrics.k8s.io", "--timeout=60s")  # fmt: skip
    yield
    cluster.kubectl("delete", "apiservice", "v1beta1.external.metrics.k8s.io")


@pytest.fixture
def calls(operator: Any, space: Any) -> Iterator[Reporting]:
    """A gateway that reports, whatever else takes its time."""
    with Reporting(operator.demand_port, "qca", space.name) as reporting:
        yield reporting


def both(space: Any, revision: str) -> tuple[int, int]:
    """Requested and actual pods."""
    return space.replicas("am", "qca"), space.replicas("deployment", revision)


def wait_both(space: Any, revision: str, pods: int) -> None:
    eventually(f"{pods} pods", lambda: both(space, revision) == (pods, pods), SECONDS)


def test_the_real_controller_scales_by_calls_and_a_switch_leaves_nothing_and_cuts_nothing(
    metrics_api: None, space: Any, calls: Reporting
) -> None:
    space.apply_model(scaling=SCALING)
    revision = space.wait_active()
    # The controller does not look at a model at zero, so a new one begins with its first pod.
    space.wait_replicas("am", "qca", 1)
    assert space.replicas("deployment", revision) == 1
    calls.say(in_flight=12)
    wait_both(space, revision, 3)
    assert space.get("hpa", "qca")["spec"]["scaleTargetRef"]["kind"] == names.MODEL_KIND
    # It scales first, and then says so.
    eventually("the autoscaler's word", lambda: space.get("hpa", "qca")["status"].get("desiredReplicas") == 3)
    assert space.model()["status"]["scaledBy"] == "hpa"
    space.wait_condition("ScalerReady", "True", "HorizontalPodAutoscaler")

    # Fewer calls, fewer pods: the controller's word, not this operator's.
    calls.say(in_flight=8)
    wait_both(space, revision, 2)

    # A whole new revision keeps the number.
    space.apply_model(scaling=SCALING, precision={"policy": "bf16"})
    fresh = eventually(
        "the Deployment of the change",
        lambda: next(
            (
                one["metadata"]["name"]
                for one in space.get("deployments")["items"]
                if one["metadata"]["name"] != revision
            ),
            None,
        ),
    )
    wait_both(space, fresh, 2)

    space.apply_model(scaling={**SCALING, "class": "atheria"}, precision={"policy": "bf16"})
    eventually(
        "no autoscaler any more",
        lambda: not space.get("hpa")["items"] and "scaledBy" not in space.model()["status"],
        SECONDS,
    )
    assert "ScalerReady" not in space.conditions()
    assert both(space, fresh) >= (2, 2)


def test_the_last_pod_goes_when_idle_and_a_call_brings_it_back(
    metrics_api: None, space: Any, calls: Reporting
) -> None:
    space.apply_model(scaling={**SCALING, "idleTimeout": "2s", "keepAlive": "idleTimeout"})
    revision = space.wait_active()
    space.wait_replicas("am", "qca", 1)
    space.make_ready(revision)
    calls.say()
    wait_both(space, revision, 0)
    space.wait_condition("ScalerReady", "True", "HorizontalPodAutoscaler")
    # What a gateway does for held calls.
    calls.say(held=8)
    for what in ("am/qca", f"deployment/{revision}"):
        space.kubectl("scale", what, "--replicas=1")
    wait_both(space, revision, 2)


def test_silence_of_the_gateways_is_an_error_that_changes_nothing(
    metrics_api: None, space: Any, cluster: Any
) -> None:
    space.apply_model(scaling=SCALING)
    revision = space.wait_active()
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{space.name}/atheria_calls?labelSelector=model%3Dqca"
    asked = cluster.run("get", "--raw", path)
    assert asked.returncode != 0
    assert "no gateway has reported for 3 s" in asked.stderr
    condition = eventually(
        "the controller's complaint",
        lambda: (found := space.conditions().get("ScalerReady")) and found["status"] == "False" and found,
        SECONDS,
    )
    assert condition["reason"] == "FailedGetExternalMetric"
    assert "operator.externalMetrics.enabled=true" in condition["message"]
    assert both(space, revision) == (1, 1)


def test_what_the_api_server_is_told_of_the_metrics_is_what_there_is(metrics_api: None, cluster: Any) -> None:
    listed = json.loads(cluster.kubectl("get", "--raw", "/apis/external.metrics.k8s.io/v1beta1"))
    assert [one["name"] for one in listed["resources"]] == ["atheria_calls", "atheria_calls_per_second"]


def test_nobody_but_the_front_proxy_is_answered(metrics_api: None, operator: Any) -> None:
    # Any certificate, but none of the front proxy's authority: already the handshake is refused.
    context = ssl.create_default_context(cafile=operator.certificates / "ca.crt")
    context.check_hostname = False
    context.load_cert_chain(operator.certificates / "tls.crt", operator.certificates / "tls.key")
    url = f"https://127.0.0.1:{operator.port('external_metrics_port')}/apis/external.metrics.k8s.io/v1beta1"
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        urllib.request.urlopen(url, context=context, timeout=30)
