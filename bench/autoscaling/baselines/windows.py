"""Averages over the last seconds of samples, as the baselines keep them. Fed by samples, asked at decisions."""

from __future__ import annotations

from collections import deque


class TimeMean:
    """Mean of the calls in the system over the last `window_seconds`; a younger window divides by its real length."""

    def __init__(self, window_seconds: float) -> None:
        self._window_seconds = window_seconds
        self._parts: deque[tuple[float, float, float]] = deque()

    def add(self, seconds: float, mean: float, span_seconds: float) -> None:
        """The mean over the span that ends at `seconds`."""
        if span_seconds > 0:
            self._parts.append((seconds, mean, span_seconds))

    def at(self, now_seconds: float) -> float:
        """0 before the first part."""
        parts, horizon = self._parts, now_seconds - self._window_seconds
        while parts and parts[0][0] <= horizon:
            parts.popleft()
        weights = sum(span for _, _, span in parts)
        return sum(mean * span for _, mean, span in parts) / weights if weights else 0.0


class Extreme:
    """Highest and lowest of the values of the last `window_seconds`."""

    def __init__(self, window_seconds: float) -> None:
        self._window_seconds = window_seconds
        self._values: deque[tuple[float, int]] = deque()

    def add(self, seconds: float, value: int) -> None:
        """Also forgets what is older than the window."""
        self._values.append((seconds, value))
        while self._values[0][0] < seconds - self._window_seconds:
            self._values.popleft()

    def highest(self) -> int:
        """Needs a value."""
        return max(value for _, value in self._values)

    def lowest(self) -> int:
        """Needs a value."""
        return min(value for _, value in self._values)
