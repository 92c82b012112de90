"""Averages over the last seconds from running sums, in buckets of a sixtieth of the window (1 s by default).

A mark holds sums since the state began, so an average is the difference of two marks: seconds in which nobody looked leave no
hole that would count as zero. Called by `decide`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from atheria_operator.domain.scaling.demand import VALID_SECONDS, Demand

_BUCKETS: Final = 60
_SHORTEST_SECONDS: Final = 1.0
"""An average over less than a report's period says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Sums up to a moment, and what was seen at it."""

    at_seconds: float
    arrivals: int = 0
    ended: int = 0
    """Calls that left: answered or given up."""
    call_seconds: float = 0.0
    """Of calls held and in flight."""
    busy_seconds: float = 0.0
    """Of calls that a pod had room for."""
    is_known: bool = True
    """The demand was complete, so differences to it count."""
    arrivals_total: int = 0
    """As the gateways said."""
    held: int = 0
    calls: int = 0
    busy: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Calls that came in a window."""

    calls: int
    seconds: float

    @property
    def per_second(self) -> float:
        """The rate."""
        return self.calls / self.seconds

    @property
    def sure_per_second(self) -> float:
        """The rate less one standard deviation of chance."""
        return max(0.0, self.calls - math.sqrt(self.calls)) / self.seconds


def next_mark(last: Mark | None, demand: Demand, busy: float, now_seconds: float) -> Mark:
    """The sums now: what the last mark saw held until now, or for as long as a report is valid.

    `busy` is the number of calls that pods have room for. Calls that left = calls that came less those that are more now.
    """
    seen = Mark(
        at_seconds=now_seconds,
        is_known=demand.is_complete,
        arrivals_total=demand.arrivals_total,
        held=demand.held,
        calls=demand.calls,
        busy=busy,
    )
    if last is None:
        return seen
    seconds = min(VALID_SECONDS, max(0.0, now_seconds - last.at_seconds))
    # Sums over other gateways than before cannot be compared; a lower one is of a gateway that restarted.
    is_comparable = demand.is_complete and last.is_known
    arrived = max(0, demand.arrivals_total - last.arrivals_total) if is_comparable else 0
    ended = max(0, arrived + last.calls - demand.calls) if is_comparable else 0
    return replace(
        seen,
        arrivals=last.arrivals + arrived,
        ended=last.ended + ended,
        call_seconds=last.call_seconds + seconds * last.calls,
        busy_seconds=last.busy_seconds + seconds * last.busy,
    )


def with_mark(marks: tuple[Mark, ...], mark: Mark, window_seconds: float) -> tuple[Mark, ...]:
    """The marks that the window needs: one a bucket, and the newest that is older than the window."""
    if marks and mark.at_seconds < marks[-1].at_seconds:
        # The clock went back: what was measured with it is void.
        return (mark,)
    width = window_seconds / _BUCKETS
    kept = marks
    if len(marks) > 1 and _bucket(marks[-1], width) == _bucket(mark, width):
        kept = marks[:-1]
    kept = (*kept, mark)
    begin = mark.at_seconds - window_seconds
    first = 0
    while first + 1 < len(kept) and kept[first + 1].at_seconds <= begin:
        first += 1
    return kept[first:]


def arrivals_in(marks: tuple[Mark, ...], window_seconds: float) -> Arrivals:
    """Calls that came in the window, and its length: shorter where fewer seconds were seen.

    Arrivals since a mark that is older than the window count as the window's: nobody looked because nothing went on.
    """
    now = marks[-1]
    begin = _begin(marks, window_seconds)
    length = min(window_seconds, now.at_seconds - begin.at_seconds)
    return Arrivals(calls=now.arrivals - begin.arrivals, seconds=max(_SHORTEST_SECONDS, length))


def mean_calls(marks: tuple[Mark, ...], window_seconds: float) -> float:
    """Mean number of calls held and in flight over the window; with nothing behind it, what is seen now."""
    now = marks[-1]
    begin = _begin(marks, window_seconds)
    length = now.at_seconds - begin.at_seconds
    if length < _SHORTEST_SECONDS:
        return float(now.calls)
    return (now.call_seconds - begin.call_seconds) / length


def mean_latency_seconds(marks: tuple[Mark, ...]) -> float | None:
    """Mean seconds of a call from its arrival to its end, by Little's law over the window; None while none has ended."""
    ended = marks[-1].ended - marks[0].ended
    return (marks[-1].call_seconds - marks[0].call_seconds) / ended if ended else None


def least_busy(marks: tuple[Mark, ...]) -> float:
    """Calls that pods had room for during the whole window: long calls, which no rate of arrivals shows."""
    return min(mark.busy for mark in marks)


def _begin(marks: tuple[Mark, ...], window_seconds: float) -> Mark:
    begin = marks[-1].at_seconds - window_seconds
    found = marks[0]
    for mark in marks:
        if mark.at_seconds > begin:
            break
        found = mark
    return found


def _bucket(mark: Mark, width: float) -> int:
    return int(mark.at_seconds // width)
