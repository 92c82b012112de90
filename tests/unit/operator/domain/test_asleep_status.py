"""The status of a model whose pods sleep at zero: ready by a wake, not loading, and no start when it wakes."""

from __future__ import annotations

from typing import Any

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.pods import Told
from atheria_operator.domain.status.phases import Phase, Step
from atheria_operator.domain.status.rest import Rest
from atheria_operator.domain.status.summary import StatusInput, build_status

NOW = "2026-01-01T02:00:00Z"
DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {
        "name": "qca-b",
        "labels": {names.LABEL_REVISION: "b"},
        "ownerReferences": [{"uid": "u"}],
    },
    "spec": {"replicas": 1},
}
RESTS = {"p/2026-01-01T00:00:03Z": Rest(is_asleep=True, freed_bytes=5_000_000_000, host_bytes=4)}


def pod(*, ready: bool, name: str = "p", ready_at: str = "2026-01-01T00:00:06Z") -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "labels": {names.LABEL_REVISION: "b"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "status": {
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"},
                {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": ready_at},
            ],
            # It crashed once, long ago.
            "containerStatuses": [
                {
                    "name": "model",
                    "ready": ready,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:03Z"}},
                    "lastState": {"terminated": {"exitCode": 1, "message": "boom"}},
                }
            ],
        },
    }


def status_of(one: dict[str, Any], **more: Any) -> dict[str, Any]:
    return build_status(
        StatusInput(
            key=ModelKey(namespace="demo", name="qca"),
            uid="u",
            generation=3,
            observed=Observed(children={("Deployment", "qca-b"): DEPLOYMENT}, pods=(one,)),
            desired_revision="qca-b",
            active_revision="qca-b",
            sleeps=True,
            **more,
        ),
        NOW,
    )


def facts(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def test_a_model_that_sleeps_is_ready_by_a_wake_and_says_what_it_frees_and_what_it_still_costs() -> None:
    status = status_of(pod(ready=False), rests=RESTS)
    found = facts(status)
    assert found["Ready"] == ("True", "Asleep")
    assert found["Warm"] == ("True", "Asleep")
    assert found["Active"] == ("False", "Asleep")
    assert status["phase"] == "Asleep"
    assert status["standby"] == {"replicas": 1, "freedBytes": 5_000_000_000, "hostBytes": 4}
    message = next(c["message"] for c in status["conditions"] if c["type"] == "Ready")
    assert "5.00 GB of device memory freed; they keep their devices and their cost" in message
    assert "start" not in status
    assert status["readyReplicas"] == 0


def test_after_a_start_of_the_operator_it_still_sleeps_until_a_pod_says_otherwise() -> None:
    asleep = status_of(pod(ready=False), rests=RESTS)
    again = status_of(pod(ready=False), before=asleep)
    assert facts(again)["Ready"] == ("True", "Asleep")
    assert again["standby"] == asleep["standby"]
    loading = Told(step=Step(phase=Phase.LOADING))
    said = status_of(pod(ready=False), before=asleep, told={next(iter(RESTS)): loading})
    assert facts(said)["Ready"][1] != "Asleep"


def test_a_wake_is_no_start() -> None:
    first = status_of(pod(ready=True), before={"start": {"pod": "p"}})
    assert first["coldStart"]["totalSeconds"] == 6.0
    asleep = status_of(pod(ready=False), rests=RESTS, before=first)
    awake = status_of(pod(ready=True, ready_at="2026-01-01T01:59:00Z"), before=asleep)
    assert facts(awake)["Ready"] == ("True", "Ready")
    assert awake["coldStart"] == first["coldStart"]
    # Another one of several in standby, which nobody saw start.
    other = status_of(pod(ready=True, name="q", ready_at="2026-01-01T01:59:00Z"), before=asleep)
    assert other["coldStart"] == first["coldStart"]
    assert other["starts"] == first["starts"]
