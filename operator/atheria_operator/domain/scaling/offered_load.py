"""Pods that the arriving calls keep busy: arrivals a second x seconds of work = calls in work at a time. Called by `decide`.

Calls come by chance, so the steady part leaves room: the target is filled to its utilisation at most, and to HEADROOM standard
deviations of a Poisson load below (square-root staffing: S. Halfin, W. Whitt, "Heavy-traffic limits for queues with many exponential
servers", Operations Research 29, 1981), which is what counts for few pods. The short window sees bursts; it may fill the whole target,
and chance is taken off it: of n calls the square root may be luck.
"""

from __future__ import annotations

import math
from typing import Final

from atheria_operator.domain.scaling.windows import Arrivals

HEADROOM: Final = 1.2
"""Standard deviations; a Poisson load is above them one time in nine."""


def steady_load(stable: Arrivals, service_seconds: float, least_busy: float) -> float:
    """Calls in work at a time over the stable window; at least those that were in work all the time."""
    return max(stable.per_second * service_seconds, least_busy)


def burst_load(short: Arrivals, service_seconds: float) -> float:
    """Calls in work at a time that the short window surely brings."""
    return short.sure_per_second * service_seconds


def filled(steady: float, utilization: float) -> float:
    """Places to have for a steady load; at a utilisation of 1 there is no room for chance."""
    if utilization >= 1:
        return steady
    return max(steady / utilization, steady + HEADROOM * math.sqrt(steady))


def pods_for(steady: float, burst: float, target: float, utilization: float) -> float:
    """Pods, not rounded: places for the steady load, or the burst at the whole target."""
    return max(filled(steady, utilization), burst) / target
