"""What the autoscaler has learnt of a model's calls is there after a restart of the operator."""

from __future__ import annotations

from typing import Any

from tests.integration.operator.harness import Gateway, eventually

SCALING = {
    "maxReplicas": 9,
    "target": 2,
    "idleTimeout": "1h",
    "scaleDownDelay": "1h",
    "keepAlive": "idleTimeout",
}


def test_the_seconds_of_a_call_outlive_the_operator_and_no_pod_goes_by_its_restart(
    space: Any, operator: Any
) -> None:
    space.apply_model(scaling=SCALING)
    revision = space.wait_active()
    space.make_ready(revision)
    eventually("a ready pod", lambda: space.model()["status"].get("readyReplicas") == 1, 60)
    gateway = Gateway(operator.demand_port)
    calls = 0

    def stored() -> Any:
        nonlocal calls
        # Two calls at a time, so the pod is always full; each report says that more of them came and went.
        calls += 2
        gateway.report("qca", space.name, in_flight=2, arrivals=calls)
        # A change of the model's is a reason for a new status.
        space.kubectl("annotate", "am", "qca", f"test={calls}", "--overwrite")
        return space.model()["status"].get("serviceTime")

    learnt = eventually("what was learnt", stored, 60)
    assert learnt["revision"] == revision
    assert learnt["seconds"] > 0
    gateway.close()
    before = space.replicas("deployment", revision)
    operator.terminate()
    operator.start()
    gateway = Gateway(operator.demand_port)

    def decided() -> Any:
        # The first words of a gateway: many calls at once, none of which has ended.
        gateway.report("qca", space.name, held=20, arrivals=calls + 20)
        found = space.model()["status"].get("lastDecisions") or ()
        return next((one for one in found if one["inputs"].get("held") == 20), None)

    decision = eventually("a decision on those calls", decided, 60)
    gateway.close()
    assert decision["replicas"] > decision["before"] >= before
    assert "no call's time is known" not in decision["formula"]
    known = space.model()["status"]["serviceTime"]["seconds"]
    assert abs(decision["inputs"]["serviceSeconds"] - known) <= 0.2 * known
