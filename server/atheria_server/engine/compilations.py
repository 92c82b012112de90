"""How often torch compiled so far, so that a compilation while callers wait is seen. Used by `engine.worker`."""

from __future__ import annotations

import sys


def compilation_count() -> int:
    """Graphs that torch's compiler (Dynamo) has made in this process; 0 where it was never used."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return 0 if dynamo is None else int(dynamo.counters["stats"]["unique_graphs"])
