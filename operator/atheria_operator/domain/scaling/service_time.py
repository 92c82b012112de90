"""Seconds that a pod works on a call, measured by Little's law: W = L / throughput. Called by `decide`.

J. D. C. Little, "A Proof for the Queuing Formula: L = lambda W", Operations Research 9 (1961). L is the number of calls that pods
have room for, so the time that calls wait is not in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from atheria_operator.domain.scaling.windows import Mark

_LEAST_BUSY_SECONDS: Final = 1.0
"""Between two reports so much work may go unseen; it matters only where hardly any was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTime:
    """Sums that fade, so that the newest calls count most."""

    busy_seconds: float = 0.0
    ended: float = 0.0
    seconds: float | None = None
    """Of a call; None = no call has ended yet."""


def measured(before: ServiceTime, last: Mark, now: Mark, fade_seconds: float) -> ServiceTime:
    """The sums with what happened between two marks; after `fade_seconds` a call counts 1/e.

    While calls are held nothing is measured: a held call that is given up looks like one that was answered.
    """
    seconds = now.at_seconds - last.at_seconds
    if seconds <= 0 or not (last.is_known and now.is_known) or last.held or now.held:
        return before
    ended = now.ended - last.ended
    fade = math.exp(-seconds / fade_seconds)
    busy_sum = before.busy_seconds * fade + now.busy_seconds - last.busy_seconds
    ended_sum = before.ended * fade + ended
    if ended_sum < max(1.0, now.busy):
        # Too few calls to say anything new: Little's law needs that those at work were replaced once.
        return ServiceTime(busy_seconds=busy_sum, ended=ended_sum, seconds=before.seconds)
    return ServiceTime(
        busy_seconds=busy_sum, ended=ended_sum, seconds=max(busy_sum, _LEAST_BUSY_SECONDS) / ended_sum
    )
