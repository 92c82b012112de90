"""What users of other servers complain about, where the control plane's decisions answer it; one test each, by its number.

The numbers are those of docs/what-users-ask-for.md, which has the sources, and the tests of those that rollouts, pods, gateway and
server answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent, ModelKey, ScalingClass, ScalingPolicy
from atheria_operator.domain.cost import Load, Usage, observe
from atheria_operator.domain.desired.pod_template import ServerDefaults, build_pod_template
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.pods import failure_of
from atheria_operator.domain.scaling.decide import decide
from atheria_operator.domain.scaling.decision import ScalingReason
from atheria_operator.domain.scaling.demand import Demand
from atheria_operator.domain.scaling.observation import Observation
from atheria_operator.domain.scaling.state import ScalingState
from atheria_operator.domain.status.summary import StatusInput, build_status

POLICY = ScalingPolicy(
    max_replicas=8,
    target_calls=4,
    target_utilization=1.0,
    idle_timeout_seconds=60,
    scale_down_delay_seconds=30,
)
Intents = Callable[..., ModelIntent]


def demand(held: int = 0, in_flight: int = 0, arrivals: int = 0) -> Demand:
    return Demand(held=held, in_flight=in_flight, arrivals_total=arrivals, is_complete=True)


def observation(replicas: int, ready: int, said: Demand | None) -> Observation:
    return Observation(
        requested_replicas=replicas, actual_replicas=replicas, ready_replicas=ready, demand=said
    )


def starting_pod(**status: Any) -> Any:
    return {
        "metadata": {
            "name": "p",
            "uid": "p",
            "labels": {names.LABEL_REVISION: "b"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "status": status,
    }


def status_of(pod: Any, calls: int | None = None, **before: Any) -> dict[str, Any]:
    deployment = {
        "kind": "Deployment",
        "metadata": {
            "name": "qca-b",
            "labels": {names.LABEL_REVISION: "b"},
            "ownerReferences": [{"uid": "u"}],
        },
        "spec": {"replicas": 1},
    }
    given = StatusInput(
        key=ModelKey(namespace="demo", name="qca"),
        uid="u",
        generation=1,
        observed=Observed(children={("Deployment", "qca-b"): deployment}, pods=(pod,)),
        desired_revision="qca-b",
        active_revision="qca-b",
        before=before,
        calls=calls,
    )
    return build_status(given, "2026-01-01T00:00:05Z")


def ready_condition(status: dict[str, Any]) -> dict[str, Any]:
    return next(dict(one) for one in status["conditions"] if one["type"] == "Ready")


def test_complaint_1_a_pod_is_not_removed_for_idleness_before_it_was_ever_ready() -> None:
    state = ScalingState()
    for second in range(0, 600, 10):
        state, decision = decide(state, observation(1, 0, demand()), POLICY, second)
        assert decision.replicas == 1
        assert decision.reason in (ScalingReason.STARTING, ScalingReason.DEMAND)


def test_complaint_2_the_expected_wait_is_said_while_a_model_starts() -> None:
    start = {"pod": "o", "totalSeconds": 90.0, "phases": [{"phase": "Loading", "seconds": 90.0}]}
    status = status_of(starting_pod(), starts=[start])
    assert "expected ready at 2026-01-01T00:01:30Z" in ready_condition(status)["message"]


def test_complaint_4_a_start_of_twenty_minutes_is_not_killed_at_ten(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    template = build_pod_template(intent(), cpu, defaults)
    probe = template["spec"]["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 2 * 20 * 60


def test_complaint_5_a_call_after_a_week_of_idling_wakes_the_model_and_goes_on_waking_it() -> None:
    week_seconds = 7 * 86_400
    state, _ = decide(ScalingState(), observation(0, 0, demand()), POLICY, 0)
    state, idle = decide(state, observation(0, 0, demand()), POLICY, week_seconds)
    assert idle.replicas == 0
    # What counts is the call that is held, not the moment it came: a wake that got lost is decided again.
    for second in range(1, 60):
        state, decision = decide(
            state, observation(0, 0, demand(held=1, arrivals=1)), POLICY, week_seconds + second
        )
        assert decision.replicas == 1


def test_complaint_11_the_schedulers_reason_is_the_models_reason() -> None:
    words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    ready = ready_condition(status_of(starting_pod(conditions=[condition])))
    assert (ready["status"], ready["reason"]) == ("False", "Unschedulable")
    assert words in ready["message"]


def test_complaint_12_a_permanent_fault_is_told_from_one_that_is_not_there_yet() -> None:
    def ended(words: str) -> Any:
        state = {"terminated": {"exitCode": 1, "message": f"atheria-server: error: {words}"}}
        return starting_pod(containerStatuses=[{"name": "model", "state": state}])

    permanent = status_of(ended("DigestMismatch: it is sha256:ab"))
    passing = status_of(ended("SourceUnavailable: https://models.example: no answer"))
    assert permanent["fault"]["retriable"] is False
    assert passing["fault"]["retriable"] is True
    assert permanent["phase"] == "Failed"
    loading = status_of(starting_pod())
    assert "fault" not in loading
    assert ready_condition(loading)["status"] == "Unknown"


def test_complaint_13_scrapes_and_probes_are_no_calls() -> None:
    # They never pass the gateways' counters: an hour of them changes neither the last call nor the idle clock.
    usage, state = Usage(), ScalingState()
    decision = None
    for second in range(0, 3600, 60):
        one = Load(pods=1, ready=1, in_flight=0, calls_total=7)
        usage = observe(usage, one, now_seconds=second, now=f"t{second}")
        state, decision = decide(state, observation(1, 1, demand(arrivals=7)), POLICY, second)
    assert usage.last_call == ""
    assert usage.calls == 0
    assert decision is not None
    assert (decision.replicas, decision.reason) == (0, ScalingReason.IDLE)


def test_complaint_17_the_operator_does_not_reset_the_number_that_the_autoscaler_set() -> None:
    state = ScalingState()
    for second in range(840):
        # Somebody else, such as a gateway's wake, has raised it to 3, and there are calls for that.
        state, decision = decide(
            state, observation(3, 3, demand(in_flight=12, arrivals=second)), POLICY, second
        )
        assert decision.replicas == 3


def test_complaint_18_many_waiting_calls_are_answered_by_the_computed_number_at_once_and_it_does_not_flap() -> (
    None
):
    state, decision = decide(ScalingState(), observation(0, 0, demand(held=1000, arrivals=1000)), POLICY, 0)
    assert decision.replicas == POLICY.max_replicas
    numbers = set()
    for second in range(1, 60):
        # One call each five seconds.
        said = demand(in_flight=4 if second % 5 == 0 else 0, arrivals=1000 + second // 5)
        state, decision = decide(state, observation(1, 1, said), POLICY, 1000 + second)
        numbers.add(decision.replicas)
    assert numbers == {1}


def test_complaint_21_the_number_of_waiting_calls_is_in_the_status() -> None:
    assert status_of(starting_pod(), calls=37)["queue"] == 37
    assert "queue" not in status_of(starting_pod())


def test_complaint_25_steady_low_traffic_does_not_keep_the_peak() -> None:
    state = ScalingState()
    replicas = 8
    for second in range(120):
        said = demand(in_flight=1, arrivals=second)
        state, decision = decide(state, observation(replicas, replicas, said), POLICY, second)
        replicas = decision.replicas
    assert replicas == 1


def test_complaint_26_a_model_may_be_parked_at_zero() -> None:
    external = ScalingPolicy(min_replicas=0, max_replicas=8, scaling_class=ScalingClass.EXTERNAL)
    _, decision = decide(ScalingState(), observation(0, 0, demand(held=3)), external, 0)
    assert (decision.replicas, decision.reason) == (0, ScalingReason.EXTERNAL)
    assert failure_of(starting_pod()) is None
