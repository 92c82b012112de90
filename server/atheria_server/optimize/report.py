"""What was made of a model before it was ready, as JSON: for /v2/health/optimization, metrics and the operator's status.

Written by `optimize.pipeline`; read by `prepared_metrics` and, over HTTP, by the operator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from atheria_contract.serving import ServingConfig

BASELINE: Final = "Baseline"
PASSED: Final = "Passed"
ALLOWED: Final = "AllowedUnvalidated"
NOT_JUDGED: Final = "NotJudged"
OFF: Final = "off"


def baseline_report(
    config: ServingConfig,
    weight_bytes: int | None,
    evaluation: Mapping[str, Any] | None = None,
    kv_cache: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Of a model that is served as it is written; `weight_bytes` where they were counted."""
    return build_report(
        policy="fp32",
        why="",
        weight_bytes=weight_bytes,
        quality=baseline_section(config),
        compiled=compile_section(OFF),
        evaluation=evaluation,
        kv_cache=kv_cache,
    )


def baseline_section(config: ServingConfig) -> dict[str, Any]:
    """Of a model that is its own baseline."""
    return quality_section(config.quality.profile, passed=True, reason=BASELINE)


def build_report(
    *,
    policy: str,
    why: str,
    weight_bytes: int | None,
    quality: Mapping[str, Any],
    compiled: Mapping[str, Any],
    layers: Sequence[Mapping[str, Any]] = (),
    warm: Sequence[Mapping[str, Any]] = (),
    steadiness: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    evaluation: Mapping[str, Any] | None = None,
    kv_cache: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole report; every part is there in each report. `steadiness` (passed, ratio, bucket) is of compiled models,
    `evaluation` the summary of `atheria-server evaluate` on the same model and settings, if one is kept, `kv_cache`
    (`core.cache_report`) of models that keep keys and values."""
    return {
        "precision": {
            "policy": policy,
            "why": why,
            "layers": [dict(layer) for layer in layers],
            "notes": list(notes),
        },
        "weight_bytes": weight_bytes,
        "quality": dict(quality),
        "compile": dict(compiled),
        "warm": [dict(bucket) for bucket in warm],
        "steadiness": dict(steadiness) if steadiness else None,
        "evaluation": dict(evaluation) if evaluation else None,
        "kv_cache": dict(kv_cache) if kv_cache else None,
    }


def quality_section(
    profile: str,
    *,
    passed: bool | None,
    reason: str,
    message: str = "",
    measurements: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """`passed` None = nobody judged it; `measurements` have name, value and limit (None = told only)."""
    return {
        "passed": passed,
        "profile": profile,
        "reason": reason,
        "message": message,
        "measurements": [dict(one) for one in measurements],
    }


def compile_section(
    mode: str,
    *,
    cache: str = OFF,
    why: str = "",
    graphs: int = 0,
    seconds: float = 0.0,
    saved_seconds: float = 0.0,
    row_limit: int = 0,
) -> dict[str, Any]:
    """`cache` is hit, miss, rejected or off; `why` says more where it is not a hit, and why mode `auto` came to this one;
    `row_limit` is the batch size that it found large enough, 0 = it was not asked."""
    return {
        "mode": mode,
        "cache": cache,
        "why": why,
        "graphs": graphs,
        "seconds": round(seconds, 3),
        "saved_seconds": round(saved_seconds, 3),
        "row_limit": row_limit,
    }
