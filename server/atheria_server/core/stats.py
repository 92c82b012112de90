"""Where the time of a start went; a pure list of phases that the engine fills and logs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPhases:
    """Seconds by phase, for the log line of a ready server."""

    import_seconds: float
    load_seconds: float
    warmup_seconds: float
    ready_seconds: float
    """From the start of the process until ready."""

    def fields(self) -> dict[str, float]:
        """For one structured log line, rounded to milliseconds."""
        return {
            "import_seconds": round(self.import_seconds, 3),
            "load_seconds": round(self.load_seconds, 3),
            "warmup_seconds": round(self.warmup_seconds, 3),
            "ready_seconds": round(self.ready_seconds, 3),
        }
