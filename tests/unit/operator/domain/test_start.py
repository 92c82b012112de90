"""The start of a first pod through its phases: seconds each took, when it should be ready, the history, the Events."""

from __future__ import annotations

from typing import Any

from atheria_contract import names
from atheria_operator.api.model import ModelKey
from atheria_operator.domain.observed import Observed
from atheria_operator.domain.pods import Told, start_key
from atheria_operator.domain.status.phases import Phase, Step
from atheria_operator.domain.status.start import KEPT_STARTS
from atheria_operator.domain.status.summary import StatusInput, build_status, needs_write
from atheria_operator.domain.status.transitions import transitions

COST = {"usdPerHour": 3600.0, "priceSource": "list", "priceDate": "2026-11", "calls": 0, "since": "s"}


def at(second: int) -> str:
    return f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z"


def pod(*, scheduled: int = 0, running: int = 0, ready: int = 0, name: str = "p") -> dict[str, Any]:
    conditions = [
        {"type": kind, "status": "True" if second else "False", "lastTransitionTime": at(second)}
        for kind, second in (("PodScheduled", scheduled), ("Ready", ready))
    ]
    state = {"running": {"startedAt": at(running)}} if running else {}
    limits = {"nvidia.com/gpu": "1"}
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "labels": {names.LABEL_REVISION: "b"},
            "creationTimestamp": at(0),
        },
        "spec": {"containers": [{"name": "model", "resources": {"limits": limits}}]},
        "status": {
            "conditions": conditions,
            "containerStatuses": [{"name": "model", "ready": bool(ready), "state": state}],
        },
    }


DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {
        "name": "qca-b",
        "labels": {names.LABEL_REVISION: "b"},
        "ownerReferences": [{"uid": "u"}],
    },
    "spec": {"replicas": 1},
}


def status(before: dict[str, Any], now: int, *pods: Any, step: Step | None = None, **more: Any) -> Any:
    told = {start_key(one): Told(step=step) for one in pods} if step else {}
    return build_status(
        StatusInput(
            key=ModelKey(namespace="demo", name="qca"),
            uid="u",
            generation=1,
            observed=Observed(children={("Deployment", "qca-b"): DEPLOYMENT}, pods=pods),
            desired_revision="qca-b",
            active_revision="qca-b",
            before=before,
            told=told,
            **more,
        ),
        at(now),
    )


def compiling(done: int) -> Step:
    return Step(phase=Phase.COMPILING, done=done, total=8, detail="16x8x8")


def whole_start(before: dict[str, Any], name: str = "p") -> dict[str, Any]:
    """Created at 0, scheduled at 10, running at 15, compiling at 20, warming at 40, ready at 45."""
    pods: dict[str, Any] = {"name": name}
    before = status(before, 1, pod(**pods))
    before = status(before, 11, pod(scheduled=10, **pods))
    before = status(before, 15, pod(scheduled=10, running=15, **pods))
    running = pod(scheduled=10, running=15, **pods)
    before = status(before, 20, running, step=compiling(0))
    before = status(before, 30, running, step=compiling(3))
    before = status(before, 40, running, step=Step(phase=Phase.WARMING))
    done: dict[str, Any] = status(before, 46, pod(scheduled=10, running=15, ready=45, **pods))
    return done


def test_each_phase_is_shown_with_its_parts_and_the_seconds_of_those_before() -> None:
    first = status({}, 1, pod())
    assert (first["phase"], first["start"]["phase"]) == ("WaitingForGPU", "WaitingForGPU")
    pulling = status(first, 11, pod(scheduled=10))
    assert pulling["phase"] == "Pulling"
    running = pod(scheduled=10, running=15)
    loading = status(pulling, 15, running)
    assert loading["start"]["phases"] == [
        {"phase": "WaitingForGPU", "seconds": 10.0},
        {"phase": "Pulling", "seconds": 5.0},
    ]
    compiled = status(loading, 20, running, step=compiling(3))
    start = compiled["start"]
    assert (start["phase"], start["done"], start["total"], start["since"]) == ("Compiling", 3, 8, at(20))
    assert start["phases"][-1] == {"phase": "Loading", "seconds": 5.0}
    ready = next(one for one in compiled["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "Compiling")
    assert "Compiling 3 of 8 (16x8x8)" in ready["message"]


def test_a_round_without_news_changes_nothing_and_a_restart_of_the_operator_loses_nothing() -> None:
    running = pod(scheduled=10, running=15)
    first = status(status({}, 15, running), 20, running, step=compiling(3))
    assert not needs_write(first, status(first, 29, running, step=compiling(3)))
    # After a restart nobody has asked yet: what is stored goes on when the pod answers again.
    assert status(first, 40, running, step=compiling(4))["start"]["since"] == at(20)


def test_a_start_that_ended_is_history_with_the_seconds_of_every_phase() -> None:
    done = whole_start({})
    assert "start" not in done
    assert done["starts"] == [
        {
            "pod": "p",
            "revision": "qca-b",
            "startedAt": at(0),
            "totalSeconds": 45.0,
            "phases": [
                {"phase": "WaitingForGPU", "seconds": 10.0},
                {"phase": "Pulling", "seconds": 5.0},
                {"phase": "Loading", "seconds": 5.0},
                {"phase": "Compiling", "seconds": 20.0},
                {"phase": "Warming", "seconds": 5.0},
            ],
        }
    ]


def test_a_start_that_nobody_watched_is_history_all_the_same() -> None:
    done = status({}, 50, pod(scheduled=10, running=15, ready=45))
    assert done["starts"][0]["phases"][-1] == {"phase": "Loading", "seconds": 30.0}


def test_the_next_start_says_when_it_should_be_ready_from_the_phases_that_are_left() -> None:
    before = whole_start({})
    waiting = status(before, 1, pod(name="q"))
    assert waiting["start"]["expectedAt"] == at(45)
    ready = next(one for one in waiting["conditions"] if one["type"] == "Ready")
    assert "median of the last 1 starts: 45 s" in ready["message"]
    # It waited 100 s longer than last time: what is left is not less for it.
    pulling = status(waiting, 111, pod(name="q", scheduled=110))
    assert pulling["start"]["expectedAt"] == at(110 + 35)
    assert status(pulling, 113, pod(name="q", scheduled=110))["start"]["expectedAt"] == at(145)


def test_without_a_history_nothing_is_promised() -> None:
    assert "expectedAt" not in status({}, 1, pod())["start"]


def test_the_history_is_bounded_and_newest_first() -> None:
    before: dict[str, Any] = {}
    for index in range(KEPT_STARTS + 3):
        before = whole_start(before, f"p{index}")
    assert [one["pod"] for one in before["starts"]] == [
        f"p{index}" for index in range(KEPT_STARTS + 2, 2, -1)
    ]


def test_each_transition_is_one_event_with_its_numbers() -> None:
    told: list[str] = []
    before: dict[str, Any] = {}
    running = pod(scheduled=10, running=15)
    for now, one, step in (
        (1, pod(), None),
        (11, pod(scheduled=10), None),
        (15, running, None),
        (20, running, compiling(0)),
        (30, running, compiling(3)),
        (40, running, compiling(7)),
        (46, pod(scheduled=10, running=15, ready=45), None),
    ):
        after = status(before, now, one, step=step, cost=COST)
        told += [f"{reason}: {message}" for _, _, reason, message in transitions(before, after)]
        before = after
    assert [line.partition(":")[0] for line in told] == [
        "WaitingForGPU",
        "Pulling",
        "Loading",
        "Compiling",
        "Ready",
    ]
    assert told[3].endswith("; so far: WaitingForGPU 10 s, Pulling 5 s, Loading 5 s")
    assert "the start took 45 s: WaitingForGPU 10 s, Pulling 5 s, Loading 5 s, Compiling 25 s" in told[4]
    assert told[4].endswith(", 45 USD (3600 USD per hour, list 2026-11)")


def test_at_zero_a_pod_that_still_goes_is_draining() -> None:
    zero = {**DEPLOYMENT, "spec": {"replicas": 0}}
    leaving = pod(scheduled=1, running=2, ready=3)
    leaving["metadata"]["deletionTimestamp"] = at(50)
    for pods, phase in (((leaving,), "Draining"), ((), "ScaledToZero")):
        given = StatusInput(
            key=ModelKey(namespace="demo", name="qca"),
            uid="u",
            generation=1,
            observed=Observed(children={("Deployment", "qca-b"): zero}, pods=pods),
            desired_revision="qca-b",
            active_revision="qca-b",
        )
        assert build_status(given, at(60))["phase"] == phase
