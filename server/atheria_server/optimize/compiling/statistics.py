"""What compilation cost, and whether it holds in service. Read by the pipeline, the metrics and the tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileStatistics:
    """Of one BucketCompiler; the last three are 0 in a server whose warm-up covered what callers send."""

    graphs: int
    """That torch made before `freeze`."""
    compile_seconds: float
    """Of the first calls, which compile or load what was compiled."""
    compilations_in_service: int
    """Graphs that torch made after `freeze`, for whatever code of this process."""
    eager_fallbacks: int
    """Calls after `freeze` that ran without a compiled form."""
    recompiles: int
    """Of these: the layout was known, but torch would have compiled it anew."""
    graph_breaks: int = 0
    """Places at which torch split a function, where `fullgraph` is off."""
