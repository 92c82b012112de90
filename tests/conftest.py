"""What all tests share: names of cases that every worker process of pytest-xdist gives alike, no timing in properties, and an
interrupt that programs hear."""

from __future__ import annotations

import signal

from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell starts what it puts in the background: programs of tests would inherit it, and are interrupted here.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis fails an example that takes longer than 200 ms, which says something of the machine only.
settings.register_profile("atheria", deadline=None)
settings.load_profile("atheria")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case of bytes by its argument, not its content: packed bytes carry the time they were packed at."""
    return argname if isinstance(val, bytes) else None
