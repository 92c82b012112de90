"""No spare device: pods that find no node are waited for, not multiplied. Called by `decide`."""

from __future__ import annotations


def ceiling(current: int, unschedulable: int) -> int | None:
    """The most pods to ask for while some find no node: what is asked for already; None = no limit.

    They stay asked for: one starts as soon as a device is free, and an autoscaler of nodes sees them.
    """
    return current if unschedulable > 0 else None
