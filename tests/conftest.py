"""What all tests share: names of cases that every worker process of pytest-xdist gives alike, and no timing in properties."""

from __future__ import annotations

from hypothesis import settings

# Hypothesis fails an example that takes longer than 200 ms, which says something of the machine only.
settings.register_profile("atheria", deadline=None)
settings.load_profile("atheria")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case of bytes by its argument, not its content: packed bytes carry the time they were packed at."""
    return argname if isinstance(val, bytes) else None
