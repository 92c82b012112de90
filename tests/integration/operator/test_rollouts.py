"""A changed spec takes over the calls, by each strategy, and goes back where it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from atheria_contract import names
from tests.integration.operator.harness import Gateway, eventually, running_operator

QUALITY = "atheria-server: error: QualityRejected: F_16 0.91 is below 0.99"
HELD = "test/device"


def weights(space: Any) -> dict[str, int]:
    """Percent by revision, of those that have some."""
    revisions = space.model().get("status", {}).get("revisions", [])
    return {one["name"]: one["weight"] for one in revisions if one["weight"]}


def wait_weights(space: Any, expected: dict[str, int]) -> None:
    eventually(f"weights {expected}", lambda: weights(space) == expected)


def serve(space: Any, **spec: Any) -> str:
    """A model whose first revision has a ready pod; returns its name."""
    space.apply_model(**spec)
    revision = str(space.wait_active())
    space.make_ready(revision)
    space.wait_condition("Progressing", "False", "Complete")
    return revision


def change(space: Any, old: str, **spec: Any) -> str:
    """Another spec; returns the name of its revision once its Deployment is there."""
    space.apply_model(batching={"maxBatchSize": 2}, **spec)

    def another() -> str | None:
        found = [item["metadata"]["name"] for item in space.get("deployments")["items"]]
        return next((name for name in found if name != old), None)

    return eventually("a Deployment of the new revision", another)


def fail(space: Any, revision: str, message: str = QUALITY) -> None:
    """Play the kubelet: the server of every pod of a revision has ended."""
    for pod in space.wait_pods(revision):
        state = {"terminated": {"exitCode": 1, "reason": "Error", "message": message}}
        space.set_pod(pod["metadata"]["name"], state=state)


def events(space: Any, reason: str) -> list[str]:
    """Messages of the model's Events."""
    found = space.get("events")["items"]
    return [one["message"] for one in found if one["reason"] == reason]


def wait_event(space: Any, reason: str) -> None:
    """It comes a moment after the status that it tells of."""
    eventually(f"an Event {reason}", lambda: bool(events(space, reason)))


def annotate(space: Any, value: str) -> None:
    text = f"{names.ANNOTATION_ROLLOUT}={value}" if value else f"{names.ANNOTATION_ROLLOUT}-"
    space.kubectl("annotate", "am", "qca", text, "--overwrite")


def test_a_surge_moves_all_calls_once_the_new_pod_is_ready_and_an_annotation_brings_the_old_one_back(
    space: Any,
) -> None:
    old = serve(space)
    new = change(space, old)
    space.wait_pods(new)
    assert weights(space) == {old: 100}
    assert space.wait_condition("Progressing", "True", "WaitingForReady")
    space.make_ready(new)
    wait_weights(space, {new: 100})
    space.wait_replicas("deployment", old, 0)
    uid = space.get("deployment", old)["metadata"]["uid"]
    # Else the pod that is made ready below may be the one that goes away.
    space.wait_pods(old, 0)
    annotate(space, "rollback")
    space.make_ready(old)
    wait_weights(space, {old: 100})
    assert space.get("deployment", old)["metadata"]["uid"] == uid
    space.wait_replicas("deployment", new, 0)
    space.wait_condition("Ready", "False", "RolledBack")
    assert "by the annotation" in space.wait_condition("Progressing", "False", "RolledBack")["message"]
    wait_event(space, "RolledBack")


def test_old_revisions_above_the_limit_are_removed(space: Any) -> None:
    old = serve(space, rollout={"revisionHistoryLimit": 0})
    new = change(space, old, rollout={"revisionHistoryLimit": 0})
    space.make_ready(new)
    eventually(
        "the old Deployment gone", lambda: space.cluster.find("deployment", old, "-n", space.name) is None
    )
    assert space.get("deployment", new)["metadata"]["name"] == new


def hold_pods(space: Any, revision: str) -> list[str]:
    """Pods that are deleted and do not go, as those of a server that ends its calls."""
    found = [pod["metadata"]["name"] for pod in space.wait_pods(revision)]
    for pod in found:
        space.kubectl(
            "patch", "pod", pod, "--type=merge", "-p", f'{{"metadata":{{"finalizers":["{HELD}"]}}}}'
        )
    return found


def let_go(space: Any, pods: list[str]) -> None:
    for pod in pods:
        space.kubectl("patch", "pod", pod, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def test_a_swap_starts_the_new_pod_only_after_the_old_one_is_gone(space: Any) -> None:
    swap = {"strategy": "swap"}
    old = serve(space, rollout=swap)
    held = hold_pods(space, old)
    new = change(space, old, rollout=swap)
    assert old in space.wait_condition("Progressing", "True", "Draining")["message"]
    space.wait_replicas("deployment", old, 0)
    assert space.replicas("deployment", new) == 0
    assert weights(space) == {old: 100}
    space.wait_condition("Ready", "Unknown", "Draining")
    assert space.get("pods", "-l", f"{names.LABEL_REVISION}={new.removeprefix('qca-')}")["items"] == []
    let_go(space, held)
    space.wait_condition("Progressing", "True", "Swapping")
    wait_weights(space, {new: 100})
    space.make_ready(new)
    space.wait_condition("Progressing", "False", "Complete")


def test_a_swap_goes_on_without_a_pod_that_never_goes_and_names_it(space: Any) -> None:
    swap = {"strategy": "swap"}
    old = serve(space, rollout=swap)
    held = hold_pods(space, old)
    new = change(space, old, rollout=swap)
    space.wait_condition("Progressing", "True", "Draining")
    # Its grace and the operator's allowance of 30 s.
    eventually("the swap goes on", lambda: weights(space) == {new: 100}, 60)
    message = space.wait_condition("Progressing", "True", "PodStuck")["message"]
    assert f"kubectl delete pod {held[0]} --force" in message
    eventually("an Event that names it", lambda: held[0] in "".join(events(space, "PodStuck")))
    space.make_ready(new)
    space.wait_condition("Progressing", "False", "Complete")
    let_go(space, held)


def test_a_swap_to_a_revision_that_fails_its_gate_goes_back(space: Any) -> None:
    swap = {"strategy": "swap"}
    old = serve(space, rollout=swap)
    new = change(space, old, rollout=swap)
    fail(space, new)
    assert "F_16 0.91" in space.wait_condition("Progressing", "False", "RolledBack")["message"]
    wait_weights(space, {old: 100})
    space.wait_replicas("deployment", new, 0)
    space.make_ready(old)
    wait_event(space, "RolledBack")


def test_auto_swaps_when_the_scheduler_finds_no_room_for_the_new_pod(space: Any) -> None:
    auto = {"unschedulableAfter": "1s"}
    old = serve(space, rollout=auto)
    held = hold_pods(space, old)
    new = change(space, old, rollout=auto)
    (pod,) = space.wait_pods(new)
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu",
    }
    space.cluster.patch_status(f"pod/{pod['metadata']['name']}", space.name, {"conditions": [condition]})
    assert "Insufficient nvidia.com/gpu" in space.wait_condition("Progressing", "True", "Draining")["message"]
    # The pod that found no room goes first: one that is there in the swap would end it.
    space.wait_pods(new, 0)
    let_go(space, held)
    space.wait_condition("Progressing", "True", "Swapping")
    space.make_ready(new)
    wait_weights(space, {new: 100})


@pytest.fixture
def gateway(operator: Any) -> Any:
    """A gateway that reports figures by revision."""
    one = Gateway(operator.demand_port, "gateway-canary")
    yield one
    one.close()


CANARY = {
    "strategy": "canary",
    "steps": [10, 100],
    "stepDuration": "1s",
    "analysis": {"minCalls": 10},
}


def test_a_canary_takes_its_share_and_then_all(space: Any, gateway: Any) -> None:
    old = serve(space, rollout=CANARY)
    new = change(space, old, rollout=CANARY)
    space.make_ready(new)
    wait_weights(space, {old: 90, new: 10})
    calls = 0

    def is_over() -> bool:
        nonlocal calls
        calls += 20
        gateway.report("qca", space.name, in_flight=1, revisions={old: (calls, 0, 0.1), new: (calls, 0, 0.1)})
        return weights(space) == {new: 100}

    eventually("all calls at the new revision", is_over)
    assert (
        "of 20 calls failed" in space.wait_condition("Progressing", "False", "Complete")["message"] or calls
    )
    assert events(space, "CanaryStep")


def test_a_canary_that_fails_more_calls_gives_them_back(space: Any, gateway: Any) -> None:
    old = serve(space, rollout=CANARY)
    new = change(space, old, rollout=CANARY)
    space.make_ready(new)
    wait_weights(space, {old: 90, new: 10})
    calls = 0

    def is_over() -> bool:
        nonlocal calls
        calls += 20
        figures = {old: (calls, 0, 0.1), new: (calls, calls // 2, 0.1)}
        gateway.report("qca", space.name, in_flight=1, revisions=figures)
        return weights(space) == {old: 100}

    eventually("all calls at the old revision", is_over)
    message = space.wait_condition("Progressing", "False", "RolledBack")["message"]
    assert "50.00% of" in message
    space.wait_replicas("deployment", new, 0)
    wait_event(space, "RolledBack")


def test_a_paused_canary_stays_and_promote_brings_it_to_all_calls(space: Any) -> None:
    old = serve(space, rollout=CANARY)
    annotate(space, "paused")
    new = change(space, old, rollout=CANARY)
    space.make_ready(new)
    space.wait_condition("Progressing", "Unknown", "Paused")
    assert weights(space) == {old: 100}
    annotate(space, "promote")
    wait_weights(space, {new: 100})


def test_an_operator_with_another_server_image_changes_no_pod_until_it_may(
    cluster: Any, operator: Any, bare: Any, tmp_path: Path
) -> None:
    old = serve(bare)
    operator.terminate()
    try:
        newer = "localhost/atheria/server:newer"
        with running_operator(cluster, tmp_path, **{names.ENV_SERVER_IMAGE: newer}):
            message = bare.wait_condition("UpgradeAvailable", "True", "NewServerImage")["message"]
            assert newer in message
            assert [item["metadata"]["name"] for item in bare.get("deployments")["items"]] == [old]
            bare.kubectl("annotate", "am", "qca", f"{names.ANNOTATION_UPGRADE}={names.UPGRADE_NOW}")

            def upgraded() -> str | None:
                found = [item["metadata"]["name"] for item in bare.get("deployments")["items"]]
                return next((name for name in found if name != old), None)

            new = eventually("a revision with the new image", upgraded)
            bare.make_ready(new)
            wait_weights(bare, {new: 100})
            template = bare.get("deployment", new)["spec"]["template"]
            assert template["spec"]["containers"][0]["image"] == newer
            bare.wait_condition("UpgradeAvailable", "False", "UpToDate")
    finally:
        operator.start()


@pytest.mark.parametrize(
    ("rollout", "words"),
    [
        ({"steps": [50, 10, 100]}, "steps must rise"),
        ({"steps": [10, 50]}, "end with 100"),
        ({"steps": [10, 10, 100]}, "steps must rise"),
        ({"strategy": "recreate"}, "Unsupported value"),
    ],
    ids=["falling", "short of all", "twice", "unknown strategy"],
)
def test_a_rollout_that_makes_no_sense_is_refused(space: Any, rollout: dict[str, Any], words: str) -> None:
    refused = space.cluster.run("apply", "-f", "-", stdin=json.dumps(space.manifest(rollout=rollout)))
    assert refused.returncode != 0
    assert words in refused.stderr
