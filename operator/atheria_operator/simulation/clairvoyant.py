"""What somebody who knows all calls beforehand would pay. The measure of regret in replay and benchmark; pure.

Calls may move between pods, so a number of slots is all that counts: at each moment ceil(calls / slots) pods. A pod of a level
is let go and started anew only where the gap is longer than a start (which it pays for beforehand): offline ski rental, exact for
each level. With nobody late that is a lower bound for every policy without waits. With some calls allowed to be late, the
plans leave out what is dearest a call: stretches of a level that few calls need, or all levels above one. Those plans are good,
not proven best, so a regret against them is a little too kind.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from atheria_operator.simulation.calls import Call
from atheria_operator.simulation.outcome import Point, front

_Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Island:
    """A stretch of time in which a level's pod is kept."""

    begin_seconds: float
    end_seconds: float
    calls: int
    """Calls that came while all slots of the levels below were taken."""


def zero_wait_gpu_seconds(calls: Sequence[Call], *, slots_per_pod: int, start_seconds: float) -> float:
    """Pod seconds, starts included, of the cheapest plan in which no call waits; the first pods start before the record."""
    return sum(
        _cost(islands, start_seconds)
        for islands in _levels(calls, slots_per_pod=slots_per_pod, start_seconds=start_seconds)
    )


def clairvoyant_front(
    calls: Sequence[Call], *, slots_per_pod: int, start_seconds: float, plans: int = 12
) -> tuple[Point, ...]:
    """Plans that nobody else of them dominates, cheapest first; the last one is late for nobody.

    A late call is taken as served for nothing, which favours the plan. `plans` prices of a late call are tried, each with
    each highest number of pods.
    """
    levels = _levels(calls, slots_per_pod=slots_per_pod, start_seconds=start_seconds)
    whole = sum(_cost(islands, start_seconds) for islands in levels)
    points = [Point(name="0 late", gpu_seconds=whole, late_share=0.0)]
    dearest = [
        (one.end_seconds - one.begin_seconds + start_seconds) / max(1, one.calls)
        for islands in levels
        for one in islands
    ]
    prices = sorted(dearest)
    chosen = {
        prices[round(index * (len(prices) - 1) / max(1, plans - 1))] for index in range(plans) if prices
    }
    for price in sorted(chosen):
        for highest in range(1, len(levels) + 1):
            kept = [
                [
                    one
                    for one in islands
                    if (one.end_seconds - one.begin_seconds + start_seconds) / max(1, one.calls) <= price
                ]
                for islands in levels[:highest]
            ]
            points.append(_plan(calls, kept, slots_per_pod=slots_per_pod, start_seconds=start_seconds))
    different = {(one.gpu_seconds, one.late_share): one for one in points}
    return front(list(different.values()))


def regret(point: Point, bound: Sequence[Point]) -> float | None:
    """The point's GPU seconds over those of the cheapest clairvoyant plan that is late for no larger share.

    Between two plans the price is drawn straight, as mixing them would cost. None without any plan or cost.
    """
    ordered = sorted(bound, key=lambda one: one.late_share)
    if not ordered:
        return None
    below = [one for one in ordered if one.late_share <= point.late_share]
    above = [one for one in ordered if one.late_share > point.late_share]
    if not below:
        return None
    nearest = min(below, key=lambda one: one.gpu_seconds)
    cost = nearest.gpu_seconds
    for other in above:
        share = (point.late_share - nearest.late_share) / (other.late_share - nearest.late_share)
        cost = min(cost, nearest.gpu_seconds + share * (other.gpu_seconds - nearest.gpu_seconds))
    return point.gpu_seconds / cost if cost > 0 else None


def _levels(
    calls: Sequence[Call], *, slots_per_pod: int, start_seconds: float
) -> Sequence[Sequence[_Island]]:
    """Per level the stretches in which its pod is kept."""
    spans: list[list[tuple[float, float, int]]] = []
    open_since: list[float] = []
    arrived: list[int] = []
    running: list[float] = []
    level = 0

    def close_until(seconds: float) -> None:
        nonlocal level
        while running and running[0] <= seconds:
            end = heapq.heappop(running)
            needed = math.ceil(len(running) / slots_per_pod)
            while level > needed:
                level -= 1
                spans[level].append((open_since[level], end, arrived[level]))

    for call in calls:
        close_until(call.arrival_seconds)
        heapq.heappush(running, call.arrival_seconds + call.service_seconds)
        needed = math.ceil(len(running) / slots_per_pod)
        while level < needed:
            if len(spans) == level:
                spans.append([])
                open_since.append(0.0)
                arrived.append(0)
            open_since[level] = call.arrival_seconds
            arrived[level] = 0
            level += 1
        arrived[level - 1] += 1
    close_until(math.inf)
    return [_bridged(one, start_seconds) for one in spans]


def _bridged(spans: Sequence[tuple[float, float, int]], start_seconds: float) -> Sequence[_Island]:
    islands: list[_Island] = []
    for begin, end, calls in spans:
        if islands and begin - islands[-1].end_seconds < start_seconds:
            last = islands.pop()
            islands.append(
                _Island(begin_seconds=last.begin_seconds, end_seconds=end, calls=last.calls + calls)
            )
        else:
            islands.append(_Island(begin_seconds=begin, end_seconds=end, calls=calls))
    return islands


def _cost(islands: Sequence[_Island], start_seconds: float) -> float:
    return sum(one.end_seconds - one.begin_seconds + start_seconds for one in islands)


def _plan(
    calls: Sequence[Call], kept: Sequence[Sequence[_Island]], *, slots_per_pod: int, start_seconds: float
) -> Point:
    """Late are the calls that find no slot of the kept stretches; the others are planned for anew."""
    edges = sorted(
        [(one.begin_seconds, 1) for islands in kept for one in islands]
        + [(one.end_seconds, -1) for islands in kept for one in islands]
    )
    served: list[Call] = []
    running: list[float] = []
    pods = position = 0
    for call in calls:
        while position < len(edges) and edges[position][0] <= call.arrival_seconds:
            pods += edges[position][1]
            position += 1
        while running and running[0] <= call.arrival_seconds:
            heapq.heappop(running)
        if len(running) < pods * slots_per_pod:
            heapq.heappush(running, call.arrival_seconds + call.service_seconds)
            served.append(call)
    cost = zero_wait_gpu_seconds(served, slots_per_pod=slots_per_pod, start_seconds=start_seconds)
    late = (len(calls) - len(served)) / len(calls) if calls else 0.0
    return Point(name=f"{late:.1%} late", gpu_seconds=cost, late_share=late)
