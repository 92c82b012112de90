"""Metrics queueDepth and requestsPerSecond: the load that arrives, bursts, and what waits. Called by `decide`."""

from __future__ import annotations

from typing import Final

from atheria_operator.api.model import ScalingPolicy
from atheria_operator.domain.scaling import backlog
from atheria_operator.domain.scaling.need import Need, Sight
from atheria_operator.domain.scaling.offered_load import burst_load, filled, pods_for, steady_load
from atheria_operator.domain.scaling.windows import arrivals_in, least_busy

_UNKNOWN_UTILIZATION: Final = 0.6
"""Until a call's time is known, those that wait at a first start are but a part of those that will."""


def by_queue(sight: Sight, policy: ScalingPolicy) -> Need:
    """Calls in work at a time by Little's law, `target` of them a pod; every waiting call counts until a call's time is known."""
    target = policy.target_calls
    ready = sight.observation.ready_replicas
    waiting = backlog.waiting_calls(sight.demand.held, sight.demand.in_flight, ready, target)
    if sight.service_seconds is None:
        is_full = policy.target_utilization >= 1
        room = target * (1.0 if is_full else min(policy.target_utilization, _UNKNOWN_UTILIZATION))
        busy = min(float(sight.demand.in_flight), ready * target)
        return Need(
            steady=busy / target,
            total=busy / target + waiting / room,
            formula=f"no call's time is known yet: {busy:g} / {target:g} at work + {waiting:g} / {room:g} waiting",
        )
    return _by_load(sight, policy, waiting, sight.service_seconds, least_busy(sight.marks))


def by_rate(sight: Sight, policy: ScalingPolicy) -> Need:
    """Calls a second, `target` of them a pod: the same law with a call that fills a place for one second."""
    return _by_load(sight, policy, float(sight.demand.held), 1.0, 0.0)


def _by_load(sight: Sight, policy: ScalingPolicy, waiting: float, service: float, least: float) -> Need:
    target, utilization = policy.target_calls, policy.target_utilization
    stable = arrivals_in(sight.marks, policy.stable_window_seconds)
    short = arrivals_in(sight.marks, policy.panic_window_seconds)
    steady, burst = steady_load(stable, service, least), burst_load(short, service)
    pods = pods_for(steady, burst, target, utilization)
    fleet = sight.observation.fleet
    later = backlog.waiting_after_start(waiting, max(steady, burst), service, fleet, target)
    extra = backlog.pods_for(later, service, fleet, target)
    return Need(
        steady=pods,
        total=pods + extra,
        formula=f"max(places for {steady:.3g}: {filled(steady, utilization):.3g}, burst {burst:.3g}) / {target:g} = {pods:.2f}, from "
        f"{stable.per_second:.3g} calls/s (burst {short.sure_per_second:.3g}) x {service:.3g} s; + {extra:.2f} for {later:.0f} calls "
        "that will wait after a start",
        arrivals_per_second=stable.per_second,
        burst_per_second=short.sure_per_second,
    )
