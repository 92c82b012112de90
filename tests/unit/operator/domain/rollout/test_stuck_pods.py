"""A pod that never goes does not stop a swap for ever: after a bound it is named, and the swap goes on by policy."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import Problem, RolloutPolicy, Strategy
from atheria_operator.domain.observed import Observed, slim_pod
from atheria_operator.domain.pods import STUCK_ALLOWANCE_SECONDS, stuck_of
from atheria_operator.domain.rollout.decide import NODE_ALLOWANCE_SECONDS, decide_rollout
from atheria_operator.domain.rollout.facts import Outside, observe_revisions
from atheria_operator.domain.rollout.state import (
    Phase,
    RevisionFacts,
    RolloutDecision,
    RolloutObservation,
    RolloutState,
)

STUCK = Problem(reason="PodStuck", message="pod a-1 on node gpu-1 had until 2026-01-01T00:00:40Z to end")
NO_NODE = Problem(reason="Unschedulable", message="pod b-1 cannot be placed: 0/1 nodes")
EMPTY = RevisionFacts(exists=True)
LOST = RevisionFacts(exists=True, present_pods=1, stuck_pods=1, stuck=STUCK)


def clock(seconds: float) -> str:
    return f"2026-01-01T00:{int(seconds) // 60:02d}:{int(seconds) % 60:02d}Z"


def leaving_pod(phase: str = "Running", node: str = "gpu-1") -> Any:
    """Told to end at 0 s, with 40 s to do so: the API server writes the end of that time."""
    return slim_pod(
        {
            "metadata": {
                "name": "a-1",
                "uid": "p",
                "labels": {names.LABEL_REVISION: "a"},
                "creationTimestamp": clock(0),
                "deletionTimestamp": clock(40),
                "deletionGracePeriodSeconds": 40,
            },
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": phase},
        }
    )


def draining(policy: RolloutPolicy, **revisions: RevisionFacts) -> tuple[RolloutState, RolloutDecision]:
    state = RolloutState(active="a", candidate="b", phase=Phase.DRAINING, since=clock(0))
    return decide_rollout(state, RolloutObservation(desired="b", revisions=revisions), policy, clock(90))


def test_a_pod_is_stuck_when_its_time_to_end_and_an_allowance_are_over() -> None:
    bound_seconds = 40 + STUCK_ALLOWANCE_SECONDS
    assert stuck_of(leaving_pod(), clock(bound_seconds - 1)) is None
    stuck = stuck_of(leaving_pod(), clock(bound_seconds))
    assert stuck is not None
    assert stuck.reason == "PodStuck"
    for words in ("pod a-1", "node gpu-1", clock(0), clock(40), "kubectl delete pod a-1 --force"):
        assert words in stuck.message
    # The same words at each look: else each would be a write of the status.
    assert stuck_of(leaving_pod(), clock(bound_seconds + 500)) == stuck


def test_a_pod_that_serves_or_has_ended_is_not_stuck() -> None:
    assert stuck_of(leaving_pod("Failed"), clock(3000)) is None
    serving = {"metadata": {"name": "a-1"}, "status": {"phase": "Running"}}
    assert stuck_of(serving, clock(3000)) is None


def test_the_facts_of_a_revision_count_its_stuck_pods() -> None:
    deployment = {
        "kind": "Deployment",
        "metadata": {
            "name": "qca-a",
            "labels": {names.LABEL_REVISION: "a"},
            "ownerReferences": [{"uid": "u"}],
        },
        "spec": {"replicas": 0},
    }
    observed = Observed(children={("Deployment", "qca-a"): deployment}, pods=(leaving_pod(),))
    early = observe_revisions(observed, "u", Outside(now=clock(41)))["qca-a"]
    late = observe_revisions(observed, "u", Outside(now=clock(200)))["qca-a"]
    assert (early.present_pods, early.stuck_pods, early.stuck) == (1, 0, None)
    assert (late.present_pods, late.stuck_pods) == (1, 1)
    assert late.stuck is not None


def test_a_swap_goes_on_without_a_stuck_pod_and_says_which_and_what_to_do() -> None:
    state, decision = draining(RolloutPolicy(strategy=Strategy.SWAP), a=LOST, b=EMPTY)
    assert (state.phase, state.active, decision.may_run) == (Phase.SWAPPING, "b", frozenset({"b"}))
    assert (decision.progressing, decision.reason) == ("True", "PodStuck")
    assert STUCK.message in decision.message
    seen = RolloutObservation(
        desired="b", revisions={"a": LOST, "b": RevisionFacts(exists=True, asked_pods=1, ready_pods=1)}
    )
    state, decision = decide_rollout(state, seen, RolloutPolicy(strategy=Strategy.SWAP), clock(100))
    assert (decision.reason, decision.weights) == ("Complete", {"b": 100})


def test_a_swap_that_is_to_wait_waits_and_says_that_somebody_has_to_act() -> None:
    policy = RolloutPolicy(strategy=Strategy.SWAP, waits_for_stuck_pods=True)
    state, decision = draining(policy, a=LOST, b=EMPTY)
    assert (state.phase, decision.may_run) == (Phase.DRAINING, frozenset())
    assert (decision.progressing, decision.reason) == ("False", "PodStuck")
    assert STUCK.message in decision.message
    # It is looked at again without an event, and goes on when somebody has deleted the pod.
    assert decision.look_seconds is not None
    assert draining(policy, a=EMPTY, b=EMPTY)[0].phase is Phase.SWAPPING


@pytest.mark.parametrize("waits", [False, True])
def test_a_pod_that_still_has_time_is_waited_for(waits: bool) -> None:
    both = RevisionFacts(exists=True, present_pods=2, stuck_pods=1, stuck=STUCK)
    policy = RolloutPolicy(strategy=Strategy.SWAP, waits_for_stuck_pods=waits)
    assert draining(policy, a=both, b=EMPTY)[0].phase is Phase.DRAINING
    asked = RevisionFacts(exists=True, asked_pods=1, present_pods=1, stuck_pods=1, stuck=STUCK)
    assert draining(policy, a=asked, b=EMPTY)[0].phase is Phase.DRAINING


def test_while_a_stuck_pod_keeps_the_device_the_old_revision_could_not_start_either() -> None:
    policy = RolloutPolicy(strategy=Strategy.SWAP, unschedulable_seconds=60)
    state = RolloutState(active="b", phase=Phase.SWAPPING, is_proven=False, history=("a",), since=clock(0))

    def phase(a: RevisionFacts, unplaced_seconds: float) -> Phase:
        waiting = RevisionFacts(
            exists=True, asked_pods=1, present_pods=1, unplaced=NO_NODE, unplaced_seconds=unplaced_seconds
        )
        seen = RolloutObservation(desired="b", revisions={"a": a, "b": waiting})
        return decide_rollout(state, seen, policy, clock(200))[0].phase

    assert phase(EMPTY, 61) is Phase.ROLLED_BACK
    assert phase(LOST, 61) is Phase.SWAPPING
    # But not for ever.
    assert phase(LOST, NODE_ALLOWANCE_SECONDS) is Phase.ROLLED_BACK
