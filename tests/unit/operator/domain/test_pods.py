"""What a pod's status says about its start."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_operator.domain.observed import slim_pod
from atheria_operator.domain.pods import (
    PASSING_REFUSALS,
    PERMANENT_REFUSALS,
    failure_of,
    last_words,
    progress_of,
    report_url,
    seconds_between,
    start_key,
)


def pod(
    *, conditions: list[Any] | None = None, container: dict[str, Any] | None = None, **status: Any
) -> Any:
    parts: dict[str, Any] = {"conditions": conditions or [], **status}
    if container is not None:
        parts["containerStatuses"] = [{"name": "model", "image": "img:1", **container}]
    return {"metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": parts}


TERMINATED = {"exitCode": 3, "reason": "Error", "message": "a\natheria-server: error: bad digest\nbye\n"}


@pytest.mark.parametrize(
    ("given", "reason", "words"),
    [
        (
            pod(
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes",
                    }
                ]
            ),
            "Unschedulable",
            "0/1 nodes",
        ),
        (
            pod(container={"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}),
            "ImagePullFailed",
            "'img:1': not found",
        ),
        (
            pod(
                container={
                    "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "no map"}}
                }
            ),
            "ContainerNotStarted",
            "no map",
        ),
        (pod(container={"state": {"terminated": TERMINATED}}), "ModelFailed", "exit code 3: bad digest"),
        (
            pod(
                container={
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": TERMINATED},
                    "restartCount": 4,
                }
            ),
            "ModelFailed",
            "restarted 4 times",
        ),
        # Between two crashes it runs: still a failure, or the status would flap.
        (
            pod(
                container={
                    "state": {"running": {}},
                    "lastState": {"terminated": TERMINATED},
                    "restartCount": 1,
                }
            ),
            "ModelFailed",
            "bad digest",
        ),
        (
            pod(container={"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}),
            "OutOfMemory",
            "limits.memory",
        ),
        (pod(phase="Failed", reason="Evicted", message="disk"), "PodFailed", "Evicted"),
    ],
)
def test_what_stops_a_pod_is_named_in_the_words_of_whoever_refused(
    given: Any, reason: str, words: str
) -> None:
    found = failure_of(given)
    assert found is not None
    assert found.reason == reason
    assert words in found.message


@pytest.mark.parametrize(
    "given",
    [
        pod(),
        pod(container={"state": {"running": {}}, "ready": False}),
        pod(container={"state": {"running": {}}, "ready": True, "lastState": {"terminated": TERMINATED}}),
        pod(container={"state": {"terminated": {"exitCode": 0}}}),
    ],
)
def test_a_pod_on_its_way_has_no_failure(given: Any) -> None:
    assert failure_of(given) is None


def test_progress_is_waiting_then_pulling_then_loading() -> None:
    scheduled = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}]
    running = {"state": {"running": {"startedAt": "2026-01-01T00:00:02Z"}}}
    reasons = [
        progress_of(given).reason
        for given in (pod(), pod(conditions=scheduled), pod(conditions=scheduled, container=running))
    ]
    assert reasons == ["WaitingForNode", "Pulling", "Loading"]


def test_last_words_are_the_servers_own_line_or_the_last_one_or_where_to_look() -> None:
    assert last_words("x\natheria-server: error: no weights\nTraceback\n") == "no weights"
    assert last_words("x\n\n y \n") == "y"
    assert "kubectl logs" in last_words("")


def test_seconds_between_two_times_are_never_negative_and_unknown_without_both() -> None:
    assert seconds_between("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z") == 60
    assert seconds_between("2026-01-01T00:01:00Z", "2026-01-01T00:00:00Z") == 0
    assert seconds_between("", "2026-01-01T00:00:00Z") is None


def ended(words: str) -> Any:
    message = f"loading\natheria-server: error: {words}\n"
    return pod(container={"state": {"terminated": {"exitCode": 1, "message": message}}, "restartCount": 2})


@pytest.mark.parametrize("reason", sorted(PERMANENT_REFUSALS | PASSING_REFUSALS))
def test_the_servers_first_word_is_the_reason_and_says_whether_another_start_helps(reason: str) -> None:
    found = failure_of(ended(f"{reason}: layer 3: not possible"))
    assert found is not None
    assert (found.reason, found.is_permanent) == (reason, reason in PERMANENT_REFUSALS)
    assert "pod p, restarted 2 times, last ended: layer 3: not possible" in found.message


@pytest.mark.parametrize("words", ["QualityRejected", "Other: x", "no QualityRejected: x", "KeyError: 'a'"])
def test_other_words_stay_a_failure_of_the_model(words: str) -> None:
    found = failure_of(ended(words))
    assert found is not None
    assert (found.reason, found.is_permanent) == ("ModelFailed", False)
    assert found.message.endswith(f"exit code 1: {words}")


def test_a_pod_whose_volumes_are_not_mounted_says_where_to_look() -> None:
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"},
        {"type": "PodReadyToStartContainers", "status": "False"},
    ]
    assert "a volume is missing: kubectl describe pod p" in progress_of(pod(conditions=conditions)).message
    conditions[1]["status"] = "True"
    assert "describe" not in progress_of(pod(conditions=conditions)).message


@pytest.mark.parametrize(
    ("address", "probe", "url"),
    [
        ("", {}, ""),
        ("10.0.0.7", {}, "http://10.0.0.7:8000/v2/health/optimization"),
        ("10.0.0.7", {"scheme": "HTTP"}, "http://10.0.0.7:8000/v2/health/optimization"),
        ("10.0.0.7", {"scheme": "HTTPS"}, "https://10.0.0.7:8000/v2/health/optimization"),
        ("fd00::7", {}, "http://[fd00::7]:8000/v2/health/optimization"),
    ],
)
def test_a_report_is_fetched_as_the_readiness_probe_asks(
    address: str, probe: dict[str, Any], url: str
) -> None:
    whole = {
        "metadata": {"name": "p", "managedFields": []},
        "spec": {
            "containers": [
                {"name": "side", "readinessProbe": {"httpGet": {"scheme": "HTTPS"}}},
                {"name": "model", "image": "x", "readinessProbe": {"httpGet": probe}},
            ]
        },
        "status": {"podIP": address} if address else {},
    }
    assert report_url(slim_pod(whole)) == url


def test_a_restarted_container_is_another_start() -> None:
    def started(at: str) -> Any:
        return pod(container={"state": {"running": {"startedAt": at}}})

    assert start_key(started("1")) == start_key(started("1")) != start_key(started("2"))
