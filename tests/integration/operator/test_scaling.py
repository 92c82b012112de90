"""Who sets the number of pods: demand, gateways that wake, people, restarts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_contract import names
from tests.integration.operator.harness import Gateway, Namespace, eventually


@pytest.fixture
def gateway(operator: Any) -> Iterator[Gateway]:
    found = Gateway(operator.demand_port)
    yield found
    found.close()


def wake(space: Any, revision: str) -> None:
    """What a gateway's activator does for a held call."""
    for what, name in ((names.MODEL_PLURAL, "qca"), ("deployments", revision)):
        space.kubectl(
            "patch",
            what,
            name,
            "--subresource=scale",
            "--type=merge",
            f"--field-manager={names.FIELD_MANAGER_GATEWAY}",
            "-p",
            json.dumps({"spec": {"replicas": 1}}),
        )


def report_until(gateway: Gateway, space: Any, look: Any, what: str, **calls: int) -> None:
    """Report the same demand, as gateways do, until something is true."""

    def once() -> bool:
        gateway.report("qca", space.name, **calls)
        return bool(look())

    eventually(what, once)


def both(space: Any, revision: str) -> tuple[int, int]:
    """Requested and actual pods."""
    return space.replicas("am", "qca"), space.replicas("deployment", revision)


def test_demand_adds_pods_up_to_the_maximum_and_idling_takes_them_to_zero(
    space: Any, gateway: Gateway
) -> None:
    space.apply_model(
        scaling={
            "maxReplicas": 3,
            "target": 2,
            "targetUtilization": 100,
            "idleTimeout": "1s",
            "scaleDownDelay": "0s",
            "initialReplicas": 0,
        }
    )
    revision = space.wait_active()
    assert space.replicas("deployment", revision) == 0
    report_until(
        gateway,
        space,
        lambda: both(space, revision) == (2, 2),
        "2 pods for 3 calls",
        held=2,
        in_flight=1,
        arrivals=3,
    )
    report_until(
        gateway, space, lambda: both(space, revision) == (3, 3), "3 pods at most", in_flight=50, arrivals=53
    )
    space.make_ready(revision, 3)
    report_until(gateway, space, lambda: both(space, revision) == (0, 0), "zero when idle", arrivals=53)
    space.wait_condition("Ready", "True", "ScaledToZero")
    decisions = eventually(
        "the decisions in the status",
        lambda: (found := space.model()["status"]["lastDecisions"]) and found[0]["replicas"] == 0 and found,
    )
    assert decisions[0]["reason"] == "Idle"
    assert "no call for 1 s" in decisions[0]["message"]
    up = next(one for one in decisions if one["replicas"] == 3)
    assert (up["before"], up["bound"]) == (2, "maxReplicas")
    assert up["inputs"]["inFlight"] == 50
    assert up["formula"]


def test_a_wake_by_a_gateway_is_kept_until_reports_have_shown_idling(space: Any, gateway: Gateway) -> None:
    space.apply_model(scaling={"idleTimeout": "2s", "initialReplicas": 0})
    revision = space.wait_active()
    gateway.report("qca", space.name)
    wake(space, revision)
    woken = time.monotonic()
    # No reports: silence says nothing.
    space.kubectl("label", "deployment", revision, "poke=1")
    eventually(
        "the poked Deployment", lambda: "poke" in space.get("deployment", revision)["metadata"]["labels"]
    )
    assert both(space, revision) == (1, 1)
    space.make_ready(revision)
    report_until(gateway, space, lambda: both(space, revision) == (0, 0), "zero after the idle timeout")
    assert time.monotonic() - woken >= 2


def test_a_wake_of_the_model_alone_reaches_its_deployment(space: Any) -> None:
    space.apply_model(scaling={"initialReplicas": 0})
    revision = space.wait_active()
    space.kubectl("scale", "am", "qca", "--replicas=1")
    space.wait_replicas("deployment", revision, 1)


def test_an_external_writer_decides_alone(space: Any, gateway: Gateway) -> None:
    space.apply_model(scaling={"class": "external", "maxReplicas": 3})
    revision = space.wait_active()
    assert space.replicas("deployment", revision) == 0
    space.kubectl("scale", "am", "qca", "--replicas=2")
    space.wait_replicas("deployment", revision, 2)
    gateway.report("qca", space.name, in_flight=100, arrivals=100)
    space.kubectl("scale", "am", "qca", "--replicas=0")
    space.wait_replicas("deployment", revision, 0)
    space.kubectl("scale", "am", "qca", "--replicas=5")
    space.wait_replicas("deployment", revision, 3)
    assert space.replicas("am", "qca") == 5


def test_an_external_model_flips_as_often_as_it_is_told(space: Any) -> None:
    space.apply_model(scaling={"class": "external"})
    revision = space.wait_active()
    for _ in range(5):
        wake(space, revision)
        space.wait_replicas("deployment", revision, 1)
        space.kubectl("scale", "am", "qca", "--replicas=0")
        space.wait_replicas("deployment", revision, 0)


def test_a_restart_of_the_operator_scales_nothing_down(
    cluster: Any, operator: Any, bare: Any, tmp_path: Path
) -> None:
    space = Namespace(cluster, bare.name)
    space.apply_model(
        scaling={"maxReplicas": 4, "idleTimeout": "1s", "scaleDownDelay": "0s", "initialReplicas": 3}
    )
    revision = space.wait_active()
    space.wait_replicas("am", "qca", 3)
    operator.terminate()
    try:
        # A gateway wakes a model of the same namespace while no operator runs.
        space.kubectl("scale", "deployment", revision, "--replicas=4")
    finally:
        operator.start()
    space.wait_replicas("am", "qca", 4)
    assert space.replicas("deployment", revision) == 4


def test_raising_the_minimum_needs_no_demand(space: Any) -> None:
    space.apply_model(scaling={"initialReplicas": 0, "maxReplicas": 4})
    revision = space.wait_active()
    space.apply_model(scaling={"minReplicas": 2, "maxReplicas": 4, "initialReplicas": 0})
    space.wait_replicas("deployment", revision, 2)
    space.wait_replicas("am", "qca", 2)


def test_a_scheduled_minimum_needs_no_demand_either(space: Any) -> None:
    # Both halves of the day, so that the test does not depend on the hour.
    halves = [
        {"start": "00:00", "end": "12:00", "minReplicas": 2},
        {"start": "12:00", "end": "00:00", "minReplicas": 2},
    ]
    space.apply_model(scaling={"initialReplicas": 0, "maxReplicas": 4, "schedule": halves})
    revision = space.wait_active()
    space.wait_replicas("deployment", revision, 2)
    space.wait_replicas("am", "qca", 2)


def test_the_metrics_and_the_health_of_the_operator_are_served(space: Any, operator: Any) -> None:
    space.apply_model()
    space.wait_active()
    import urllib.request

    base = f"http://127.0.0.1:{operator.metrics_port}"
    assert urllib.request.urlopen(f"{base}/healthz", timeout=5).read() == b"ok\n"
    series = f'{names.METRIC_DESIRED_REPLICAS}{{model="qca",namespace="{space.name}"}} 1.0'
    eventually(
        "the model's series",
        lambda: series in urllib.request.urlopen(f"{base}/metrics", timeout=5).read().decode(),
    )
