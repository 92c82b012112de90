"""The bytes of `fleet.json`, made anew at most a few times a second however many pages ask. Served by adapters/fleet_http.py."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Final

from atheria_gateway.core.fleet import Fleet, render_fleet

PERIOD_S: Final = 0.25
"""Between two renderings."""


class FleetPage:
    """Renders what `look` sees, and remembers it for PERIOD_S."""

    def __init__(self, look: Callable[[], Fleet], now_s: Callable[[], float] = time.monotonic) -> None:
        """`now_s` is a monotonic clock."""
        self._look = look
        self._now_s = now_s
        self._made_s = float("-inf")
        self._body = b""

    def body(self) -> bytes:
        """JSON in UTF-8, at most PERIOD_S old."""
        now_s = self._now_s()
        if now_s - self._made_s >= PERIOD_S:
            shown = render_fleet(self._look())
            self._body = json.dumps(shown, separators=(",", ":"), allow_nan=False).encode()
            self._made_s = now_s
        return self._body
