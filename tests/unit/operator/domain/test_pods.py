"""What a pod's status says about its start."""

from __future__ import annotations

from typing import Any

import pytest

from atheria_operator.domain.pods import failure_of, last_words, progress_of, seconds_between


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


def test_progress_is_scheduling_then_starting_then_loading() -> None:
    scheduled = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}]
    running = {"state": {"running": {"startedAt": "2026-01-01T00:00:02Z"}}}
    reasons = [
        progress_of(given).reason
        for given in (pod(), pod(conditions=scheduled), pod(conditions=scheduled, container=running))
    ]
    assert reasons == ["Scheduling", "Starting", "Loading"]


def test_last_words_are_the_servers_own_line_or_the_last_one_or_where_to_look() -> None:
    assert last_words("x\natheria-server: error: no weights\nTraceback\n") == "no weights"
    assert last_words("x\n\n y \n") == "y"
    assert "kubectl logs" in last_words("")


def test_seconds_between_two_times_are_never_negative_and_unknown_without_both() -> None:
    assert seconds_between("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z") == 60
    assert seconds_between("2026-01-01T00:01:00Z", "2026-01-01T00:00:00Z") == 0
    assert seconds_between("", "2026-01-01T00:00:00Z") is None
