"""How many lines of one kind a log gets: enough to find examples, never so many that writing them is the load. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class LogBudget:
    """A bucket that fills with `per_second` lines a second and holds `burst` of them."""

    per_second: float
    burst: int
    skipped: int = 0
    """Lines that were left out since the last one."""
    _left: float = -1.0
    _at_s: float = 0.0

    def take(self, now_s: float) -> bool:
        """Whether a line may be written at this monotonic time in seconds; who writes it tells `skipped` and sets it to 0."""
        if self._left < 0:
            self._left, self._at_s = float(self.burst), now_s
        self._left = min(float(self.burst), self._left + (now_s - self._at_s) * self.per_second)
        self._at_s = now_s
        if self._left < 1:
            self.skipped += 1
            return False
        self._left -= 1
        return True
