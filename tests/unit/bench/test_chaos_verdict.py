"""Which lost calls of a chaos run are explained by a kill, and what a pod's ledger says."""

from __future__ import annotations

import asyncio
import time

from bench.chaos import ledger
from bench.chaos.records import FORCED, GRACE_ENDED, KILLED, Call, Life
from bench.chaos.stalls import Stall, watch_stalls
from bench.chaos.verdict import (
    ENVOY_KILLED,
    POD_HAD_BEGUN,
    POD_WAS_SENT,
    UNEXPLAINED,
    WORKER_HAD_BEGUN,
    WORKER_WAS_SENT,
    Verdict,
    judge,
    routes_of,
)

POD = "steady-abc/0"


def lost(sent: float = 10.0, ended: float | None = 10.3) -> Call:
    return Call(
        id=7,
        model="steady",
        is_stream=False,
        sent_seconds=sent,
        gateway="gateway-0",
        ended_seconds=ended,
        failure="UNAVAILABLE: gone",
    )


def pod(killed_by: str = KILLED, ended: float = 10.2, worker: float = 0) -> Life:
    return Life(
        container=POD,
        address="10.244.0.2",
        model="steady",
        started_seconds=0.0,
        ended_seconds=ended,
        killed_by=killed_by,
        worker_kills_seconds=[worker] if worker else [],
    )


def judged(
    call: Call,
    *,
    lives: tuple[Life, ...] = (),
    text: str = "",
    routes: tuple[str, ...] = (),
    envoy: float = 0,
    other_envoy: float = 0,
) -> Verdict:
    runs = ledger.runs_of(POD, text)
    kills = {"gateway-0": [envoy] if envoy else [], "gateway-1": [other_envoy] if other_envoy else []}
    return judge([call], runs, lives, {7: routes} if routes else {}, kills)


def cause(call: Call, **given: object) -> str:
    return judged(call, **given).losses[0].cause  # type: ignore[arg-type]


def test_a_call_that_a_killed_pod_had_begun_is_explained() -> None:
    assert cause(lost(), lives=(pod(),), text="B 7 10.1\n") == POD_HAD_BEGUN
    assert cause(lost(), lives=(pod(FORCED),), text="B 7 10.1\n") == POD_HAD_BEGUN


def test_a_call_that_a_killed_pod_had_answered_but_not_sent_is_explained() -> None:
    assert cause(lost(), lives=(pod(),), text="B 7 10.1\nE 7 10.19\n") == POD_HAD_BEGUN


def test_a_call_that_envoy_sent_to_a_killed_pod_is_explained_without_a_ledger() -> None:
    assert cause(lost(), lives=(pod(),), routes=("10.244.0.2",)) == POD_WAS_SENT


def test_a_kill_of_another_pod_explains_nothing() -> None:
    assert cause(lost(), lives=(pod(),), routes=("10.244.0.3",)) == UNEXPLAINED


def test_a_pod_that_ended_after_sigterm_explains_nothing() -> None:
    assert cause(lost(), lives=(pod(""),), text="B 7 10.1\n") == UNEXPLAINED


def test_a_pod_whose_grace_was_too_short_explains_nothing() -> None:
    assert cause(lost(), lives=(pod(GRACE_ENDED),), text="B 7 10.1\n") == UNEXPLAINED


def test_a_kill_before_the_call_or_long_before_its_failure_explains_nothing() -> None:
    assert cause(lost(), lives=(pod(ended=9.4),), text="B 7 10.1\n") == UNEXPLAINED
    assert cause(lost(), lives=(pod(ended=10.4),), text="B 7 10.1\n") == UNEXPLAINED
    assert cause(lost(ended=20.0), lives=(pod(),), text="B 7 10.1\n") == UNEXPLAINED


def test_a_call_on_a_killed_envoy_is_explained_and_a_later_one_is_not() -> None:
    assert cause(lost(), envoy=10.1) == ENVOY_KILLED
    assert cause(lost(), envoy=9.6) == ENVOY_KILLED
    assert cause(lost(), envoy=9.0) == UNEXPLAINED


def test_the_kill_of_the_envoy_of_another_gateway_explains_nothing() -> None:
    assert cause(lost(), other_envoy=10.1) == UNEXPLAINED


def test_a_call_that_a_killed_worker_had_begun_or_was_about_to_get_is_explained() -> None:
    lives = (pod("", ended=99.0, worker=10.2),)
    assert cause(lost(), lives=lives, text="B 7 10.1\n") == WORKER_HAD_BEGUN
    assert cause(lost(), lives=lives, routes=("10.244.0.2",)) == WORKER_WAS_SENT
    assert cause(lost(), lives=lives, routes=("10.244.0.3",)) == UNEXPLAINED
    assert cause(lost(ended=20.0), lives=lives, text="B 7 10.1\n") == UNEXPLAINED


def test_what_the_run_heard_late_because_it_stood_still_itself_is_explained() -> None:
    late = lost(ended=13.0)

    def cause_with(*stalls: Stall) -> str:
        runs = ledger.runs_of(POD, "B 7 10.1\n")
        return judge([late], runs, (pod(),), {}, {}, stalls).losses[0].cause

    assert cause_with() == UNEXPLAINED
    assert cause_with((10.5, 12.9)) == POD_HAD_BEGUN
    assert cause_with((8.0, 10.3), (10.4, 10.9), (13.0, 20.0)) == UNEXPLAINED


async def test_a_stall_of_the_event_loop_is_seen() -> None:
    found: list[Stall] = []
    watching = asyncio.create_task(watch_stalls(found))
    await asyncio.sleep(0.05)
    time.sleep(0.5)  # noqa: ASYNC251 - a loop that stands still
    await asyncio.sleep(0.05)
    watching.cancel()
    assert sum(last - first for first, last in found) > 0.2


def test_a_call_without_any_end_is_unexplained() -> None:
    assert cause(lost(ended=None), lives=(pod(),), text="B 7 10.1\n") == UNEXPLAINED


def test_a_call_that_was_begun_twice_is_not_clean_even_if_it_was_answered() -> None:
    call = Call(id=7, model="steady", is_stream=False, sent_seconds=10.0, ended_seconds=10.3)
    once = judged(call, text="B 7 10.1\nE 7 10.2\n")
    assert once.is_clean
    assert once.answered == 1
    twice = judged(call, text="B 7 10.1\nB 7 10.15\nE 7 10.2\n")
    assert twice.twice == (7,)
    assert not twice.is_clean


def test_an_answer_that_no_pod_computed_is_not_clean() -> None:
    call = Call(id=7, model="steady", is_stream=False, sent_seconds=10.0, ended_seconds=10.3)
    assert judged(call).never_computed == (7,)


def test_a_run_whose_only_losses_are_explained_is_clean() -> None:
    assert judged(lost(), lives=(pod(),), text="B 7 10.1\n").is_clean
    assert not judged(lost()).is_clean


def test_envoys_log_gives_the_pods_and_not_its_own_hold_listener() -> None:
    log = "7 /run/hold.sock - 0 1\n7 10.244.0.2:8001 UC 14 1\n- 10.244.0.3:8001 - - 1\n8 - UH 14 0\n9 10.24"
    assert routes_of(log) == {7: ("10.244.0.2",)}


def test_a_ledger_pairs_each_begin_with_its_end() -> None:
    runs = ledger.runs_of(POD, ledger.line("B", 1, 1.0) + ledger.line("B", 2, 1.5) + ledger.line("E", 1, 2.0))
    assert [(run.call, run.begun_seconds, run.ended_seconds) for run in runs] == [
        (1, 1.0, 2.0),
        (2, 1.5, None),
    ]
