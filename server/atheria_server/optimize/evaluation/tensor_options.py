"""What compilation and precision of a model of tensors are worth, alone and together: faster, smaller, and how far the answers move.

The same figures as `text_options` has for text models, from the variants that `chain` has timed. Called by `validation`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from atheria_server.core.optimization_metrics import COMBINED, OptimizationMetrics
from atheria_server.core.quality import Measurement
from atheria_server.core.timings import times_faster
from atheria_server.models.contract import WarmupCall
from atheria_server.optimize.evaluation.chain import COMPILED, EAGER, FULL, NARROW, Measured
from atheria_server.optimize.evaluation.resources import working_bytes
from atheria_server.optimize.evaluation.variants import Variant
from atheria_server.optimize.quality.outputs import compare_outputs

COMPILE: Final = "compile"
PRECISION: Final = "precision"
_LOGIT_DIVERGENCE: Final = "kl:"
"""In nats; the share of likeliest classes that change says the same as a share."""


def option_variants(variants: Mapping[str, Variant]) -> dict[str, str]:
    """Name of the variant of each option that was asked for, and of all together where there are two."""
    found: dict[str, str] = {}
    if COMPILED in variants:
        found[COMPILE] = COMPILED
    if FULL in variants:
        found[PRECISION] = NARROW if NARROW in variants else FULL
    return {**found, COMBINED: FULL} if len(found) > 1 else found


def measure_options(measured: Measured, call: WarmupCall, device: str) -> tuple[OptimizationMetrics, ...]:
    """Of each option against the model as it is written: time and working memory of a batch of `best_rows`, bytes of the weights, and
    outputs of `call`, which has that many rows. Raises QualityError for outputs of other shapes."""
    rows = measured.best_rows
    before = measured.variants[EAGER]
    outputs, taken = before.loaded.compute(call), _bytes(before, call, device, rows)
    return tuple(
        OptimizationMetrics(
            name=option,
            memory_saved_bytes=taken - _bytes(measured.variants[name], call, device, rows),
            speed_up=times_faster(measured.timings[EAGER][rows], measured.timings[name][rows]),
            accuracy_loss=loss(compare_outputs([outputs], [measured.variants[name].loaded.compute(call)])),
        )
        for option, name in option_variants(measured.variants).items()
    )


def loss(measurements: Sequence[Measurement]) -> float:
    """The worst output: relative error (root mean square), or share of entries or of likeliest classes that change; 0 without any,
    NaN where one is not finite (`max` would hide a NaN behind another)."""
    found = list(_losses(measurements))
    return max(found, default=0.0) if all(map(math.isfinite, found)) else math.nan


def _losses(measurements: Sequence[Measurement]) -> Iterator[float]:
    for one in measurements:
        if not one.name.startswith(_LOGIT_DIVERGENCE):
            yield 1 - one.value if one.better == "higher" else one.value


def _bytes(variant: Variant, call: WarmupCall, device: str, rows: int) -> int:
    return int(variant.report["weight_bytes"] or 0) + working_bytes(variant.predict(call), device, rows)
