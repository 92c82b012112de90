"""The simulator on the very calls of a live run, told what was measured in it: seconds of each call, of starts, ends and actuation."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from atheria_operator.api.scaling import scaling_policy
from atheria_operator.api.types.scaling import Scaling
from atheria_operator.simulation.calls import Call
from atheria_operator.simulation.engine import Simulation
from atheria_operator.simulation.ours import AtheriaPolicy
from atheria_operator.simulation.world import Queue, World
from bench.live_replay.figures import Figures, Learnt


def simulate(
    calls: Sequence[Call],
    learnt: Learnt,
    scaling: Mapping[str, Any],
    *,
    queue: Queue,
    tail_seconds: float,
    limit_seconds: float,
    seeds: int,
) -> list[Figures]:
    """One run a seed, which draws by which part of a second the calls come after the operator's looks, and starts beyond those measured.

    `calls` are in the order of their ids, from 1.
    """
    policy = scaling_policy(Scaling.model_validate(dict(scaling)))
    told = [
        replace(call, service_seconds=learnt.service_seconds.get(number, call.service_seconds))
        for number, call in enumerate(calls, start=1)
    ]
    world = world_of(
        learnt, slots=policy.target_calls, most=policy.max_replicas, queue=queue, tail_seconds=tail_seconds
    )
    found = []
    for seed in range(1, seeds + 1):
        ours = AtheriaPolicy(policy=policy, usd_per_pod_hour=learnt.usd_per_pod_hour)
        phase = random.Random(seed).random()
        shifted = [replace(call, arrival_seconds=call.arrival_seconds + phase) for call in told]
        outcome = Simulation(calls=shifted, world=world, policy=ours, seed=seed).run()
        found.append(
            Figures(
                gpu_seconds=outcome.gpu_seconds,
                late_share=outcome.late_share(limit_seconds),
                mean_replicas=outcome.requested_seconds / outcome.end_seconds,
                waits=outcome.waits_seconds,
                starts=outcome.starts,
                lost=outcome.lost,
            )
        )
    return found


def world_of(learnt: Learnt, *, slots: int, most: int, queue: Queue, tail_seconds: float) -> World:
    """The measured cluster: starts as long as the measured ones in their order, one gateway, the model at zero at first."""
    mean = statistics.fmean(learnt.start_seconds)
    widest = max(max(learnt.start_seconds) - mean, mean - min(learnt.start_seconds))
    return World(
        slots_per_pod=slots,
        queue=queue,
        start_seconds=mean,
        start_spread=min(0.99, widest / mean),
        starts_seconds=learnt.start_seconds,
        max_replicas=most,
        actuation_seconds=learnt.actuation_seconds,
        end_seconds=statistics.fmean(learnt.end_seconds) if learnt.end_seconds else 0.0,
        gateways=1,
        tail_seconds=tail_seconds,
    )
