"""Durations as users write them: `50ms`, `30s`, `5m`, `1h`."""

from __future__ import annotations

import re
from typing import Final

from atheria_operator.api.types import DURATION_PATTERN

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration_seconds(text: str, field: str) -> float:
    """Seconds of a duration. Raises ValueError that names `field`, the text and what is allowed."""
    if not re.match(DURATION_PATTERN, text):
        raise ValueError(
            f"{field} is {text!r}, expected a whole number and a unit such as 50ms, 30s, 5m or 1h"
        )
    unit = "ms" if text.endswith("ms") else text[-1]
    return round(int(text.removesuffix(unit)) * _SECONDS[unit], 3)
