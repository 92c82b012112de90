"""class keda: the ScaledObject against KEDA's own definition, and KEDA's externalscaler calls as KEDA makes them.

KEDA itself runs in tests/integration/interop/test_keda.py, where it was built: here a client of its own protocol asks, and the test
writes what KEDA's executor writes to the scale subresource.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from atheria_contract.generated import externalscaler_pb2 as messages
from atheria_contract.generated import externalscaler_pb2_grpc as stubs
from atheria_local.definitions import delete_definitions, wait_established
from tests.integration.operator.harness import SCALER_ADDRESS, Reporting, eventually

pytestmark = pytest.mark.timeout(400)
SECONDS = 90
DEFINITION = Path(__file__).with_name("keda") / "scaledobjects.yaml"
SCALING = {
    "class": "keda",
    "maxReplicas": 5,
    "target": 4,
    "targetUtilization": 100,
    "stableWindow": "6s",
    "idleTimeout": "1h",
}


class Keda:
    """The calls of KEDA's external push scaler for one ScaledObject."""

    def __init__(self, channel: grpc.Channel, scaled_object: dict[str, Any]) -> None:
        trigger = scaled_object["spec"]["triggers"][0]
        assert trigger["type"] == "external-push"
        self._stub: Any = stubs.ExternalScalerStub(channel)  # type: ignore[no-untyped-call]
        self._reference = messages.ScaledObjectRef(
            name=scaled_object["metadata"]["name"],
            namespace=scaled_object["metadata"]["namespace"],
            scalerMetadata=trigger["metadata"],
        )
        self.pushed: queue.Queue[bool] = queue.Queue()
        """What StreamIsActive has said."""
        self._ended_with: list[grpc.StatusCode] = []
        self._stream = self._stub.StreamIsActive(self._reference)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for one in self._stream:
                self.pushed.put(one.result)
        except grpc.RpcError as error:
            self._ended_with.append(error.code())  # type: ignore[attr-defined]

    def spec(self) -> tuple[str, float]:
        (one,) = self._stub.GetMetricSpec(self._reference, timeout=30).metricSpecs
        return one.metricName, one.targetSizeFloat

    def value(self) -> float:
        name, _ = self.spec()
        asked = messages.GetMetricsRequest(scaledObjectRef=self._reference, metricName=name)
        (one,) = self._stub.GetMetrics(asked, timeout=30).metricValues
        assert one.metricName == name
        return float(one.metricValueFloat)

    def is_active(self) -> bool:
        return bool(self._stub.IsActive(self._reference, timeout=30).result)

    def close(self) -> None:
        self._stream.cancel()
        self._thread.join(30)
        assert self._ended_with == [grpc.StatusCode.CANCELLED]


@pytest.fixture
def without_keda(cluster: Any) -> Iterator[None]:
    """No definition of ScaledObjects, before and after."""
    assert not cluster.find("crd", "scaledobjects.keda.sh")
    yield
    delete_definitions(cluster.plane.kubectl, "scaledobjects.keda.sh")


@pytest.fixture
def calls(operator: Any, space: Any) -> Iterator[Reporting]:
    with Reporting(operator.demand_port, "qca", space.name) as reporting:
        yield reporting


def scaled_object(space: Any) -> dict[str, Any] | None:
    found = space.cluster.find("scaledobjects.keda.sh", "qca", "-n", space.name)
    return dict(found) if found else None


def test_without_keda_the_model_runs_and_says_so_and_with_it_keda_scales_to_and_from_zero(
    without_keda: None, cluster: Any, operator: Any, space: Any, calls: Reporting
) -> None:
    space.apply_model(scaling=SCALING)
    revision = space.wait_active()
    missing = space.wait_condition("ScalerReady", "False", "KedaMissing")
    assert "install KEDA, or set spec.scaling.class to atheria" in missing["message"]
    space.wait_replicas("am", "qca", 1)
    space.wait_replicas("deployment", revision, 1)

    cluster.kubectl("apply", "--server-side", "-f", str(DEFINITION))
    wait_established(cluster.plane.kubectl, "scaledobjects.keda.sh")
    space.look_now()
    # The API server refuses an unknown field here: what is stored is right by KEDA's own schema.
    made = eventually("the ScaledObject", lambda: scaled_object(space), SECONDS)
    assert made["spec"]["triggers"][0]["metadata"]["scalerAddress"] == SCALER_ADDRESS
    assert made["metadata"]["ownerReferences"][0]["name"] == "qca"
    space.wait_condition("ScalerReady", "Unknown", "WaitingForAutoscaler")
    ready = {"type": "Ready", "status": "True", "reason": "ScaledObjectReady", "message": "it is"}
    cluster.patch_status("scaledobject/qca", space.name, {"conditions": [ready]})
    space.look_now()
    eventually(
        "that KEDA decides",
        lambda: space.conditions().get("ScalerReady", {}).get("reason") == "Keda",
        SECONDS,
    )

    with grpc.insecure_channel(f"127.0.0.1:{operator.port('external_scaler_port')}") as channel:
        keda = Keda(channel, made)
        try:
            assert keda.spec() == ("atheria_calls", 4)
            calls.say(in_flight=10)
            eventually("10 calls", lambda: keda.value() == 10, SECONDS)
            assert keda.is_active()
            wait_pushed(keda.pushed, True)
            # What KEDA's HorizontalPodAutoscaler makes of it.
            space.kubectl("scale", "am", "qca", "--replicas=3")
            space.wait_replicas("deployment", revision, 3)

            calls.say()
            eventually("that no call is left", lambda: not keda.is_active(), SECONDS)
            eventually("a value of nothing", lambda: keda.value() == 0, SECONDS)
            # What KEDA's executor does after its cooldown.
            space.kubectl("scale", "am", "qca", "--replicas=0")
            space.wait_replicas("deployment", revision, 0)
            wait_pushed(keda.pushed, False)

            calls.say(held=1)
            wait_pushed(keda.pushed, True)
            space.kubectl("scale", "am", "qca", "--replicas=1")
            space.wait_replicas("deployment", revision, 1)
        finally:
            keda.close()

    space.kubectl("scale", "am", "qca", "--replicas=2")
    space.wait_replicas("deployment", revision, 2)
    space.apply_model(scaling={**SCALING, "class": "atheria"})
    eventually(
        "no ScaledObject any more",
        lambda: scaled_object(space) is None and "scaledBy" not in space.model()["status"],
        SECONDS,
    )
    assert (space.replicas("am", "qca"), space.replicas("deployment", revision)) == (2, 2)


def wait_pushed(pushed: queue.Queue[bool], wanted: bool) -> None:
    """Until this is pushed: what was before it may not have been read yet."""
    while pushed.get(timeout=SECONDS) is not wanted:
        pass


def test_silence_is_unavailable_so_that_keda_leaves_the_pods_alone(operator: Any) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{operator.port('external_scaler_port')}") as channel:
        stub: Any = stubs.ExternalScalerStub(channel)  # type: ignore[no-untyped-call]
        reference = messages.ScaledObjectRef(name="nobody", namespace="nowhere")
        with pytest.raises(grpc.RpcError) as refused:
            stub.IsActive(reference, timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]


def test_a_switch_to_external_keeps_the_pods_and_then_only_a_person_counts(
    space: Any, calls: Reporting
) -> None:
    space.apply_model(scaling={"maxReplicas": 4, "initialReplicas": 3})
    revision = space.wait_active()
    space.wait_replicas("am", "qca", 3)
    space.apply_model(scaling={"maxReplicas": 4, "class": "external"})
    condition = space.wait_condition("ScalerReady", "True", "External")
    assert "whoever writes spec.replicas decides" in condition["message"]
    calls.say(in_flight=50)
    assert (space.replicas("am", "qca"), space.replicas("deployment", revision)) == (3, 3)
    space.kubectl("scale", "am", "qca", "--replicas=1")
    space.wait_replicas("deployment", revision, 1)
