"""From the outputs of the golden calls, of the baseline and of a variant, to measurements.

Three ways, the first that there is: the user's metric (`quality.metric`), the LitAPI's `compare`, and the default of
`outputs`. Values that are NaN or infinite are looked for before any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from atheria_server.core.quality import Measurement, QualityError
from atheria_server.core.quality_gate import NON_FINITE
from atheria_server.core.tensors import BF16, float32_of
from atheria_server.models.contract import Array, Arrays
from atheria_server.models.entry_point import EntryPointError, load_entry_point
from atheria_server.optimize.quality.outputs import compare_outputs

Metric = Callable[[Sequence[Arrays], Sequence[Arrays]], Any]
"""Outputs of the baseline and of the variant, in the calls' order -> Measurements, or name -> number."""


def compare(
    api: object,
    baseline: Sequence[Arrays],
    variant: Sequence[Arrays],
    *,
    metric: str = "",
    limits: Collection[str] = (),
) -> Sequence[Measurement]:
    """How far the variant is from the baseline; both are the outputs of the same golden calls, in their order.

    `metric` is `package.module:function` or empty; `limits` are the names of `quality.limits`, which may ask for more
    measurements. A variant with values that are not finite gets a `non_finite:OUTPUT` for each such output and nothing
    else. Raises QualityError for outputs that cannot be compared, a baseline that is not finite, and a metric that cannot
    be used.
    """
    if len(baseline) != len(variant) or not baseline:
        raise QualityError(
            f"{len(baseline)} golden outputs of the baseline and {len(variant)} of the variant; expected equally many, "
            "at least 1"
        )
    if broken := _non_finite(baseline):
        name, count = next(iter(broken.items()))
        raise QualityError(
            f"output {name} of the fp32 baseline has {count} values that are NaN or infinite on the golden calls, so no "
            "variant can be compared with it; check the weights, or give the LitAPI golden_calls() with inputs it can compute"
        )
    if broken := _non_finite(variant):
        return [
            Measurement(name=f"{NON_FINITE}{name}", value=float(count), better="lower")
            for name, count in sorted(broken.items())
        ]
    if metric:
        return _called(f"quality.metric {metric!r}", load_metric(metric), baseline, variant)
    own = getattr(api, "compare", None)
    if callable(own):
        return _called(f"{type(api).__name__}.compare", own, baseline, variant)
    return compare_outputs(baseline, variant, limits=limits)


def load_metric(path: str) -> Metric:
    """The function that `package.module:function` names. Raises QualityError."""
    try:
        return load_entry_point("quality.metric", path)
    except EntryPointError as error:
        raise QualityError(str(error)) from error


def _called(
    title: str, metric: Metric, baseline: Sequence[Arrays], variant: Sequence[Arrays]
) -> Sequence[Measurement]:
    try:
        found = metric(baseline, variant)
        measured = list(found.items()) if isinstance(found, Mapping) else list(found)
    except QualityError:
        raise
    except (Exception, SystemExit) as error:
        raise QualityError(f"{title} failed: {_said(error)}; correct it, or remove it") from error
    if not measured:
        raise QualityError(f"{title} measured nothing; return at least one Measurement, or name -> number")
    return [_measurement(title, one) for one in measured]


def _measurement(title: str, found: Any) -> Measurement:
    if isinstance(found, Measurement) and _is_number(found.value) and isinstance(found.name, str):
        return found
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], str) and _is_number(found[1]):
        return Measurement(name=found[0], value=float(found[1]), better="lower")
    raise QualityError(
        f"{title} returned {found!r:.200}; expected Measurements, or a mapping from name to a number where lower is better"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _non_finite(calls: Sequence[Arrays]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for outputs in calls:
        for name, array in outputs.items():
            if count := _count_non_finite(array):
                counts[name] = counts.get(name, 0) + count
    return counts


def _count_non_finite(array: Array) -> int:
    values = np.asarray(array)
    if values.dtype == BF16:
        values = float32_of(values)
    return int(np.count_nonzero(~np.isfinite(values))) if values.dtype.kind in "fc" else 0


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
