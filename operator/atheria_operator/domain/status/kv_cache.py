"""The condition KvCacheAccepted: whether a text model's cache runs in the precision that was asked for. Part of `summary`.

The error budget is judged by each pod before it is ready (the server's `core.cache_error_budget`); this only tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from atheria_operator.domain.status.conditions import KV_CACHE_ACCEPTED, Condition

WITHIN_BUDGET: Final = "WithinBudget"
STEPPED_BACK: Final = "SteppedBack"
_FULL: Final = "full"


def kv_cache_accepted(revision: str, told: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Of `told`, status.kvCache; empty where the revision compresses nothing, or no pod of it has said so yet."""
    wanted, runs = told.get("wanted"), told.get("precision")
    if not revision or told.get("revision") != revision or not runs or wanted in (None, _FULL):
        return ()
    if wanted == runs:
        return (
            Condition(
                type=KV_CACHE_ACCEPTED,
                status="True",
                reason=WITHIN_BUDGET,
                message=f"{runs} as asked for{_figures(told)}",
            ),
        )
    return (
        Condition(
            type=KV_CACHE_ACCEPTED,
            status="False",
            reason=STEPPED_BACK,
            message=f"{wanted} was asked for and {runs} is served ({told.get('why') or 'the pod does not say why'}): set "
            f"spec.kvCache.precision: {runs}, keep more tokens exact by spec.kvCache.recentWindow, or allow more by "
            "spec.kvCache.leastAgreement and spec.kvCache.mostDivergence",
        ),
    )


def _figures(told: Mapping[str, Any]) -> str:
    parts = []
    if "agreement" in told:
        least = f" (least {told['leastAgreement']:.2%})" if "leastAgreement" in told else ""
        parts.append(
            f"{told['agreement']:.2%} of {told.get('comparedTokens', 0)} likeliest tokens agree{least}"
        )
    if "divergence" in told:
        most = f" (most {told['mostDivergence']:.2g})" if "mostDivergence" in told else ""
        parts.append(f"divergence {told['divergence']:.2g} nats per token{most}")
    return f": {', '.join(parts)}" if parts else ""
