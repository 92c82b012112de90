"""What all tests share: names of cases that every worker process of pytest-xdist gives alike."""

from __future__ import annotations


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case of bytes by its argument, not its content: packed bytes carry the time they were packed at."""
    return argname if isinstance(val, bytes) else None
