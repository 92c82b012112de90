"""The fewest pods by time of day: windows in local time, so that a model is warm before people come. Called by `decide`."""

from __future__ import annotations

from datetime import datetime, timedelta

from atheria_operator.api.model import ScheduledMinimum


def scheduled_minimum(schedule: tuple[ScheduledMinimum, ...], now: datetime) -> int:
    """The highest minimum of the windows that `now` (aware) is in; 0 for none."""
    return max((window.min_replicas for window in schedule if is_in(window, now)), default=0)


def is_in(window: ScheduledMinimum, now: datetime) -> bool:
    """Whether the wall clock of the window's zone is within it.

    Wall-clock times are compared: a window that begins in the hour that a change of the clocks leaves out begins after it.
    """
    local = now.astimezone(window.zone)
    minute = local.hour * 60 + local.minute
    yesterday = (local - timedelta(days=1)).weekday()
    if window.start_minute < window.end_minute:
        return local.weekday() in window.days and window.start_minute <= minute < window.end_minute
    return (local.weekday() in window.days and minute >= window.start_minute) or (
        yesterday in window.days and minute < window.end_minute
    )
