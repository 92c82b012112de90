"""The machine's clock and randomness."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime


class SystemClock:
    """Clock of this machine."""

    def monotonic_seconds(self) -> float:
        """Seconds of a clock that never goes back."""
        return time.monotonic()

    def now(self) -> str:
        """RFC 3339 in UTC, whole seconds, as Kubernetes writes times."""
        return datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def jitter(self) -> float:
        """From 0 to 1."""
        return random.random()  # noqa: S311 - spreads retries, keeps no secret
