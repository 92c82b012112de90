"""The most pods that were needed lately: what goes down waits for the whole window. Called by `decide`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Pods that were needed at a moment, and fewer ever since."""

    at_seconds: float
    pods: int


def with_peak(
    peaks: tuple[Peak, ...], pods: int, window_seconds: float, now_seconds: float
) -> tuple[Peak, ...]:
    """The peaks of the window with the newest need: falling from the oldest to the newest, so the first is the most."""
    kept = tuple(
        peak for peak in peaks if peak.pods > pods and 0 <= now_seconds - peak.at_seconds < window_seconds
    )
    return (*kept, Peak(at_seconds=now_seconds, pods=pods))


def most(peaks: tuple[Peak, ...]) -> int:
    """Pods needed at most within the window; 0 for none."""
    return peaks[0].pods if peaks else 0
