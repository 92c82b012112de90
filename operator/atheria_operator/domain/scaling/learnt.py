"""The seconds that a pod works on a call, from one operator to the next: as status.serviceTime. Called by `runtime.meter` and `build_status`.

What is stored is somebody else's word by the time it is read: of another revision, too old, from the future or out of any sense it is not
believed, and the operator learns anew as on the first day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from atheria_operator.domain.pods import seconds_between
from atheria_operator.domain.scaling.service_time import ServiceTime

LEAST_SECONDS: Final = 1e-4
MOST_SECONDS: Final = 3600.0
BELIEVED_SECONDS: Final = 7 * 86_400.0
"""What was measured longer ago is not believed."""
AHEAD_SECONDS: Final = 300.0
"""Clocks of two machines may differ by so much."""
TOLERANCE: Final = 0.1
"""A stored value that is off by no more is not written again ..."""
CONFIRM_SECONDS: Final = 3600.0
"""... within this time, ..."""
AGAIN_SECONDS: Final = 60.0
"""... nor any value sooner than this."""
_WEIGHT_CALLS: Final = 10.0
"""Calls that a restored value counts for, or more where they fill less than a second: soon outweighed by new ones."""
_WEIGHT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Seconds of a call, as an operator measured them."""

    revision: str
    """That took the calls."""
    seconds: float
    at: str
    """RFC 3339 in UTC."""


def restored(status: Mapping[str, Any], now: str) -> ServiceTime:
    """What the stored status of a model says, if it is to be believed at `now` (RFC 3339 in UTC); nothing learnt otherwise."""
    stored = status.get("serviceTime")
    if not isinstance(stored, Mapping) or stored.get("revision") != status.get("activeRevision"):
        return ServiceTime()
    try:
        seconds = float(stored["seconds"])
        age = (datetime.fromisoformat(now) - datetime.fromisoformat(stored["measuredAt"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return ServiceTime()
    is_sensible = math.isfinite(seconds) and LEAST_SECONDS <= seconds <= MOST_SECONDS
    if not is_sensible or not -AHEAD_SECONDS <= age <= BELIEVED_SECONDS:
        return ServiceTime()
    calls = max(_WEIGHT_CALLS, _WEIGHT_SECONDS / seconds)
    return ServiceTime(busy_seconds=calls * seconds, ended=calls, seconds=seconds)


def service_time_status(
    before: Mapping[str, Any] | None, measured: Measured | None
) -> Mapping[str, Any] | None:
    """status.serviceTime; `before` is the stored one, which stays where nothing was measured, or hardly anything else."""
    if measured is None or not measured.revision or not LEAST_SECONDS <= measured.seconds <= MOST_SECONDS:
        return before
    new = {
        "revision": measured.revision,
        "seconds": float(f"{measured.seconds:.3g}"),
        "measuredAt": measured.at,
    }
    if before is None or before.get("revision") != measured.revision:
        return new
    then = str(before.get("measuredAt") or "")
    age = seconds_between(then, measured.at)
    # Of the future it is where the clock was put back.
    if age is None or then > measured.at:
        return new
    was = float(before.get("seconds") or 0.0)
    is_near = abs(measured.seconds - was) <= TOLERANCE * was
    return before if age < (CONFIRM_SECONDS if is_near else AGAIN_SECONDS) else new
