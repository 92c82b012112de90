"""What a generator counts for the metrics. Made in the worker, sent to the front by `engine.worker`. No torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

OBSERVATIONS_MAX: Final = 1000
"""Times kept between two reports at most; further ones are left out."""


@dataclass(slots=True, kw_only=True)
class TextCounts:
    """Tokens, steps and times since the last report, and what is now."""

    prompt_tokens: int = 0
    generated_tokens: int = 0
    reused_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    undrafted_texts: int = 0
    steps: int = 0
    active_sequences: int = 0
    waiting_sequences: int = 0
    cache_used_bytes: int = 0
    cache_budget_bytes: int = 0
    first_token_seconds: list[float] = field(default_factory=list)
    token_seconds: list[float] = field(default_factory=list)
    """Mean between two tokens of each text that ended."""

    def observe(self, times: list[float], seconds: float) -> None:
        """One more of `first_token_seconds` or `token_seconds`."""
        if len(times) < OBSERVATIONS_MAX:
            times.append(seconds)

    def report(self) -> dict[str, Any]:
        """As JSON; what is counted since the last report begins anew."""
        found = asdict(self)
        for field_ in fields(self):
            if field_.name in _NOW:
                continue
            setattr(self, field_.name, [] if field_.name.endswith("_seconds") else 0)
        return found


_NOW: Final = frozenset(
    {
        "active_sequences",
        "waiting_sequences",
        "cache_used_bytes",
        "cache_budget_bytes",
    }
)
