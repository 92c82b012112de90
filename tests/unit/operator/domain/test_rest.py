"""Which pods sleep, as they say it themselves, and what the status says of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.domain.pods import Told
from atheria_operator.domain.status.phases import Phase, Step
from atheria_operator.domain.status.rest import ORDER_SECONDS, Rest, read_rest, sleeping, standby_status

ASLEEP = {"state": "asleep", "freed_bytes": 5_000_000_000, "host_bytes": 4_000_000_000}


def answer(**standby: Any) -> dict[str, Any]:
    return {"ready": False, "reason": "the model is asleep: a call wakes it", names.READY_STANDBY: standby}


def pod(*, ready: bool = False, running: str = "1", leaving: bool = False) -> dict[str, Any]:
    state = {"running": {"startedAt": running}} if running else {}
    return {
        "metadata": {"name": "p", "uid": "p", **({"deletionTimestamp": "t"} if leaving else {})},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "model", "state": state}],
        },
    }


def sleeps(
    body: dict[str, Any],
    rest: Rest | None = None,
    told: Told | None = None,
    *,
    now: float = 100.0,
    expected: bool = False,
) -> bool:
    rests = {} if rest is None else {"p/1": rest}
    return bool(sleeping([body], rests, {} if told is None else {"p/1": told}, now, is_expected=expected))


def test_a_pod_that_says_that_it_sleeps_is_believed_within_bounds() -> None:
    assert read_rest(answer(**ASLEEP)) == Rest(
        is_asleep=True, freed_bytes=5_000_000_000, host_bytes=4_000_000_000
    )
    assert read_rest(answer(state="falling asleep")) == Rest()
    found = read_rest(answer(state="asleep", freed_bytes=-1, host_bytes=True, note="n" * 10_000))
    assert found == Rest(is_asleep=True, note="n" * 512)


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        {"ready": True},
        {"ready": False, "reason": "the model is not loaded yet: loading"},
        answer(state="awake"),
        answer(state="waking"),
        answer(state=7),
        {names.READY_STANDBY: "asleep"},
    ],
)
def test_other_answers_are_no_sleep(told: Any) -> None:
    assert read_rest(told) is None


def test_a_pod_that_took_an_order_sleeps_though_its_probe_has_not_seen_it_yet_but_not_for_ever() -> None:
    ordered = Rest(ordered_seconds=100.0)
    assert sleeps(pod(ready=True), ordered, now=100.0 + ORDER_SECONDS - 1)
    assert not sleeps(pod(ready=True), ordered, now=100.0 + ORDER_SECONDS)
    assert not sleeps(pod(ready=True), ordered, now=math.inf)
    assert sleeps(pod(), ordered, now=math.inf)


def test_a_pod_of_which_nothing_is_known_sleeps_only_where_no_pod_should_be_awake() -> None:
    assert sleeps(pod(), expected=True)
    assert sleeps(pod(), told=Told(), expected=True)
    assert not sleeps(pod())
    assert not sleeps(pod(), told=Told(step=Step(phase=Phase.LOADING)), expected=True)
    assert not sleeps(pod(running=""), expected=True), "its container does not even run"
    assert not sleeps(pod(ready=True), expected=True)
    assert not sleeps(pod(leaving=True), Rest(is_asleep=True), expected=True)


def test_the_status_sums_what_is_freed_and_keeps_it_over_a_start_of_the_operator() -> None:
    pods = [pod(), {**pod(), "metadata": {"name": "q", "uid": "q"}}]
    rests = {
        "p/1": Rest(is_asleep=True, freed_bytes=3, host_bytes=2, note="because"),
        "q/1": Rest(is_asleep=True, freed_bytes=4, host_bytes=3),
    }
    status = standby_status(pods, rests, {})
    assert status == {"replicas": 2, "freedBytes": 7, "hostBytes": 5, "note": "because"}
    assert standby_status(pods[:1], {}, {"standby": status}) == {**status, "replicas": 1}
    assert standby_status([], rests, {"standby": status}) == {}
