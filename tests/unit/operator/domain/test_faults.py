"""What can stop a model is in one table, which says whether waiting helps; the words are of whoever knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atheria_operator.domain.pods import (
    PASSING_REFUSALS,
    PERMANENT_REFUSALS,
    Told,
    failure_of,
    phase_of,
    progress_of,
)
from atheria_operator.domain.status.faults import FAULTS, is_retriable
from atheria_operator.domain.status.phases import Phase
from atheria_operator.domain.status.pod_events import (
    NODE_IS_COMING,
    NODE_IS_NOT_COMING,
    PodWords,
    read_pod_events,
)

SCHEDULER = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."


def unschedulable() -> Any:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": SCHEDULER,
    }
    container = {"name": "model", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    return {
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [container]},
        "status": {"conditions": [condition]},
    }


def event(reason: str, message: str, second: int = 1, **more: Any) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": f"2026-01-01T00:00:{second:02}Z", **more}


def test_every_reason_is_either_retriable_or_permanent_and_has_a_next_step() -> None:
    assert all(fault.next_step for fault in FAULTS.values())
    assert not [reason for reason in PERMANENT_REFUSALS if is_retriable(reason)]
    assert all(is_retriable(reason) for reason in PASSING_REFUSALS)
    assert is_retriable("SomethingNew")
    assert FAULTS.keys() >= NODE_IS_COMING | NODE_IS_NOT_COMING


def test_the_documentation_has_every_reason() -> None:
    page = (Path(__file__).parents[4] / "docs" / "operator.md").read_text(encoding="utf-8")
    missing = [
        reason
        for reason, fault in FAULTS.items()
        if f"| `{reason}` | {'yes' if fault.is_retriable else 'no'} | {fault.next_step} |" not in page
    ]
    assert not missing, f"docs/operator.md lacks rows as in faults.FAULTS: {missing}"


@pytest.mark.parametrize("reason", sorted(NODE_IS_COMING))
def test_a_node_that_is_coming_is_no_failure_and_both_say_so(reason: str) -> None:
    words = read_pod_events([event(reason, "pod triggered scale-up: [{l4 0->1 (max: 3)}]")])
    assert failure_of(unschedulable(), words) is None
    told = Told(words=words)
    progress = progress_of(unschedulable(), told)
    assert (progress.reason, phase_of(unschedulable(), told)) == (reason, Phase.WAITING_FOR_GPU)
    assert SCHEDULER in progress.message
    assert "l4 0->1" in progress.message


@pytest.mark.parametrize("reason", sorted(NODE_IS_NOT_COMING))
def test_a_node_that_is_not_coming_is_a_failure_in_the_autoscalers_words(reason: str) -> None:
    words = read_pod_events([event(reason, "2 max node group size reached")])
    problem = failure_of(unschedulable(), words)
    assert problem is not None
    assert problem.reason == reason
    assert SCHEDULER in problem.message
    assert "2 max node group size reached" in problem.message


def test_the_newest_words_win_whatever_the_order_and_the_kind_of_time() -> None:
    series = {"series": {"lastObservedTime": "2026-01-01T00:00:09.000000Z"}, "lastTimestamp": None}
    events = [
        event("FailedScaleUp", "out of stock", **series),
        event("TriggeredScaleUp", "0->1", 5),
        event("Scheduled", "not ours", 20),
    ]
    for order in (events, events[::-1]):
        assert read_pod_events(order).node_reason == "FailedScaleUp"


def test_a_volume_that_cannot_be_mounted_is_named_until_the_image_is_pulled() -> None:
    mount = event("FailedMount", 'secret "key" not found', 1)
    pod: Any = {
        "metadata": {"name": "p"},
        "status": {"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "t"}]},
    }
    problem = failure_of(pod, read_pod_events([mount]))
    assert problem is not None
    assert problem.reason == "VolumeNotMounted"
    assert 'secret "key" not found' in problem.message
    words = read_pod_events([mount, event("Pulling", 'Pulling image "x"', 2)])
    assert failure_of(pod, words) is None
    assert 'Pulling image "x"' in progress_of(pod, Told(words=words)).message


def test_a_pod_with_no_events_says_what_its_status_says() -> None:
    assert read_pod_events([]) == PodWords()
    problem = failure_of(unschedulable())
    assert problem is not None
    assert problem.reason == "Unschedulable"


def test_an_image_name_that_is_none_is_permanent() -> None:
    waiting = {"reason": "InvalidImageName", "message": 'couldn\'t parse "A:B:C"'}
    pod: Any = {
        "metadata": {"name": "p"},
        "status": {"containerStatuses": [{"name": "model", "image": "A:B:C", "state": {"waiting": waiting}}]},
    }
    problem = failure_of(pod)
    assert problem is not None
    assert problem.is_permanent
    assert not is_retriable(problem.reason)
