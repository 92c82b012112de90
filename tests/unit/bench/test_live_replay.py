"""The live replay's figures, from what pods, watches and callers wrote down, and the simulator told of them."""

from __future__ import annotations

import pytest

from atheria_operator.simulation.calls import Call
from atheria_operator.simulation.world import Queue
from bench.chaos.ledger import Run
from bench.live_replay import report, wake
from bench.live_replay.arrivals import LONGEST_SECONDS, window
from bench.live_replay.callers import Sent
from bench.live_replay.figures import (
    Figures,
    Learnt,
    differences,
    learnt_of,
    live_figures,
    mean_figures,
    mean_of_steps,
)
from bench.live_replay.simulated import simulate, world_of
from bench.live_replay.timeline import PodLife
from bench.live_replay.wake import Wake

PODS = [
    PodLife(name="a", created=101.0, ready=106.0, leaving=150.0, gone=153.0),
    PodLife(name="b", created=110.0, ready=117.0),
    PodLife(name="after", created=200.0, ready=204.0),
]
SCALING = {"minReplicas": 0, "maxReplicas": 3, "target": 1, "initialReplicas": 0, "idleTimeout": "60s"}


def figures(gpu: float, late: float = 0.5, mean: float = 2.0) -> Figures:
    return Figures(gpu_seconds=gpu, late_share=late, mean_replicas=mean, waits=(1.0, 3.0), starts=2, lost=0)


def test_what_was_written_down_becomes_figures() -> None:
    sent = [
        Sent(id=1, sent=100.0, answered=107.0),
        Sent(id=2, sent=120.0, answered=121.0),
        Sent(id=3, sent=121.0, answered=130.0, failure="UNAVAILABLE"),
    ]
    runs = [
        Run(call=1, container="a/0", begun_seconds=106.1, ended_seconds=107.0),
        Run(call=2, container="b/0", begun_seconds=120.0, ended_seconds=121.0),
    ]
    steps = [(90.0, 0), (100.5, 1), (109.0, 2), (150.0, 1), (160.0, 0)]
    found = live_figures(sent, runs, PODS, steps, begin=100.0, end=160.0, limit_seconds=2.0)
    # Pod a for 52 s, pod b for the 50 s until the end; call 1 waited too long and call 3 was never begun.
    assert found.gpu_seconds == pytest.approx(102.0)
    assert found.late_share == pytest.approx(2 / 3)
    assert found.mean_replicas == pytest.approx((8.5 * 1 + 41 * 2 + 10 * 1) / 60)
    assert found.waits == pytest.approx((0.0, 6.1))
    assert (found.starts, found.lost) == (2, 1)


def test_a_number_counts_until_the_next_and_nothing_before_the_first() -> None:
    assert mean_of_steps([], 0.0, 10.0) == 0.0
    assert mean_of_steps([(5.0, 4)], 0.0, 10.0) == 2.0
    assert mean_of_steps([(-5.0, 4), (20.0, 9)], 0.0, 10.0) == 4.0


def test_the_simulator_is_told_what_was_measured() -> None:
    runs = [
        Run(call=1, container="a/0", begun_seconds=106.0, ended_seconds=106.5),
        Run(call=2, container="a/0", begun_seconds=107.0, ended_seconds=None),
    ]
    learnt = learnt_of(runs, PODS[:2], [(100.0, 0), (100.7, 1), (109.0, 2)], 0.4)
    assert learnt.service_seconds == {1: 0.5}
    assert learnt.start_seconds == (5.0, 7.0)
    assert learnt.end_seconds == (3.0,)
    assert learnt.actuation_seconds == pytest.approx(0.65)
    world = world_of(learnt, slots=2, most=3, queue=Queue.GATEWAY, tail_seconds=9.0)
    assert world.starts_seconds == (5.0, 7.0)
    assert (world.start_seconds, world.start_spread) == (6.0, pytest.approx(1 / 6))
    assert (world.end_seconds, world.slots_per_pod, world.gateways, world.tail_seconds) == (3.0, 2, 1, 9.0)
    with pytest.raises(ValueError, match="no pod became ready"):
        learnt_of([], [PodLife(name="a", created=1.0)], [], None)


def test_the_simulator_replays_the_calls_with_their_own_seconds() -> None:
    calls = [Call(arrival_seconds=float(second), service_seconds=9.0) for second in range(20)]
    learnt = Learnt(
        service_seconds=dict.fromkeys(range(1, 21), 0.5),
        start_seconds=(4.0, 6.0),
        end_seconds=(3.0,),
        actuation_seconds=0.2,
        usd_per_pod_hour=None,
    )

    def run(told: Learnt) -> Figures:
        return mean_figures(
            simulate(calls, told, SCALING, queue=Queue.GATEWAY, tail_seconds=5.0, limit_seconds=2.0, seeds=3)
        )

    found = run(learnt)
    # The first calls wait for the first start, the last ones find a pod.
    assert 0.05 < found.late_share < 0.6
    assert found.lost == 0
    slow = Learnt(
        service_seconds={},
        start_seconds=learnt.start_seconds,
        end_seconds=(),
        actuation_seconds=0.2,
        usd_per_pod_hour=None,
    )
    assert run(slow).late_share > found.late_share


def test_differences_are_of_the_simulator_to_the_real_run() -> None:
    apart = differences(figures(100.0, 0.5, 2.0), figures(120.0, 0.4, 2.0))
    assert apart == pytest.approx({"GPU-seconds": 0.2, "late share": -0.2, "mean replicas": 0.0})
    assert report.is_within_bar(figures(100.0), figures(119.0))
    assert not report.is_within_bar(figures(100.0), figures(121.0))
    assert not report.is_within_bar(figures(100.0, late=0.0), figures(100.0, late=0.1))
    assert report.is_within_bar(figures(100.0, late=0.0), figures(100.0, late=0.0))
    text = report.table(figures(100.0), {"simulator": [figures(105.0), figures(115.0)]})
    assert "| **GPU-seconds** | 100 | 110 | +10 % |" in text


def test_a_window_of_the_hour_begins_at_zero_and_is_the_same_again() -> None:
    calls = window("code", seed=1, begin_seconds=1660.0, seconds=60.0, share=0.5)
    assert calls == window("code", seed=1, begin_seconds=1660.0, seconds=60.0, share=0.5)
    whole = window("code", seed=1, begin_seconds=1660.0, seconds=60.0, share=1.0)
    assert len(calls) < len(whole)
    assert all(0 <= call.arrival_seconds < 60 for call in whole)
    assert all(call.service_seconds <= LONGEST_SECONDS for call in whole)
    with pytest.raises(ValueError, match="allowed: code, conv"):
        window("nothing", seed=1, begin_seconds=0.0, seconds=1.0, share=1.0)
    with pytest.raises(ValueError, match="no call of code"):
        window("code", seed=1, begin_seconds=0.0, seconds=60.0, share=0.0)


def test_wakes_are_shown_by_step_and_judged_by_their_95th_percentile() -> None:
    wakes = [
        Wake(while_draining=False, patched=0.1, ready=5.0, released=0.01, answered=5.2) for _ in range(99)
    ]
    slow = Wake(while_draining=False, patched=0.9, ready=9.0, released=0.5, answered=10.4)
    assert wake.is_within_bars([*wakes, slow])
    assert not wake.is_within_bars([wakes[0], slow])
    assert "| first call → scale patched, ms | 300 | 100 | 100 | 900 |" in wake.table([*wakes, slow])
