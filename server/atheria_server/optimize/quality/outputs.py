"""The comparison for models that bring none: output by output, by what its type and its name say.

Names of what is measured, for `quality.limits`:
    error:NAME  floating point: |variant - baseline| / |baseline|, root mean square over all golden calls.
    equal:NAME  everything else (whole numbers, booleans, BYTES): the share of equal entries.
    top1:NAME   the share of rows along the last axis whose largest entry stands at the same place; not those with a NaN.
    kl:NAME     mean Kullback-Leibler divergence of the softmax over the last axis from the baseline's, in nats.
top1 and kl are for outputs called `logits` or `..._logits`, in place of the error, and for those that a limit names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atheria_server.core.quality import Measurement, QualityError
from atheria_server.core.tensors import BF16, float32_of
from atheria_server.models.contract import Array, Arrays

SCALE_MIN: Final = 1e-12
"""Root mean square of an output below which its error is no longer relative."""

_Float64 = npt.NDArray[np.float64]
_Pairs = Sequence[tuple[Array, Array]]
"""Baseline and variant of each call."""


def compare_outputs(
    baseline: Sequence[Arrays], variant: Sequence[Arrays], *, limits: Collection[str] = ()
) -> Sequence[Measurement]:
    """Measurements of every output. Raises QualityError where names or shapes differ."""
    _check_equal_forms(baseline, variant)
    found: list[Measurement] = []
    for name in sorted({name for outputs in baseline for name in outputs}):
        pairs = [(b[name], v[name]) for b, v in zip(baseline, variant, strict=True) if name in b]
        found += _measured(name, pairs, limits)
    return found


def _measured(
    name: str, pairs: Sequence[tuple[Array, Array]], limits: Collection[str]
) -> Sequence[Measurement]:
    if not all(_is_floating(array) for pair in pairs for array in pair):
        return [Measurement(name=f"equal:{name}", value=_equal_share(pairs), better="higher")]
    is_logits = name == "logits" or name.endswith("_logits")
    has_classes = all(np.ndim(b) > 0 and np.shape(b)[-1] > 1 for b, _ in pairs)
    ways: Sequence[tuple[str, bool, Callable[[_Pairs], float]]] = (
        ("error", not (is_logits and has_classes), _relative_error),
        ("top1", is_logits and has_classes, _top1_share),
        ("kl", is_logits and has_classes, _divergence),
    )
    found = []
    for way, is_default, measure in ways:
        title = f"{way}:{name}"
        if is_default or title in limits:
            if way != "error" and not has_classes:
                raise QualityError(
                    f"quality.limits.{title} needs an output with 2 or more classes on its last axis; "
                    f"use error:{name}"
                )
            better: Any = "higher" if way == "top1" else "lower"
            found.append(Measurement(name=title, value=measure(pairs), better=better))
    return found


def _relative_error(pairs: _Pairs) -> float:
    difference = scale = 0.0
    count = 0
    for b, v in _numbers(pairs):
        difference += float(np.sum((v - b) ** 2))
        scale += float(np.sum(b**2))
        count += b.size
    return float(np.sqrt(difference / max(scale, count * SCALE_MIN**2))) if count else 0.0


def _top1_share(pairs: _Pairs) -> float:
    same = np.concatenate(
        [np.ravel((b.argmax(-1) == v.argmax(-1)) & ~np.isnan(v).any(-1)) for b, v in _numbers(pairs)]
    )
    return float(same.mean()) if same.size else 1.0


def _divergence(pairs: _Pairs) -> float:
    rows = []
    for b, v in _numbers(pairs):
        log_b, log_v = _log_softmax(b), _log_softmax(v)
        rows.append(np.ravel((np.exp(log_b) * (log_b - log_v)).sum(-1)))
    values = np.concatenate(rows)
    return max(0.0, float(values.mean())) if values.size else 0.0


def _log_softmax(logits: _Float64) -> _Float64:
    shifted = logits - logits.max(-1, keepdims=True)
    result: _Float64 = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def _equal_share(pairs: Sequence[tuple[Array, Array]]) -> float:
    same = np.concatenate([np.ravel(np.asarray(b) == np.asarray(v)) for b, v in pairs])
    return float(same.mean()) if same.size else 1.0


def _check_equal_forms(baseline: Sequence[Arrays], variant: Sequence[Arrays]) -> None:
    for index, (b, v) in enumerate(zip(baseline, variant, strict=True)):
        if set(b) != set(v):
            raise QualityError(
                f"golden call {index} has the outputs {sorted(b)} from the baseline and {sorted(v)} from the variant; "
                "expected the same"
            )
        for name in b:
            shapes = list(np.shape(b[name])), list(np.shape(v[name]))
            if shapes[0] != shapes[1]:
                raise QualityError(
                    f"output {name} of golden call {index} has shape {shapes[0]} from the baseline and {shapes[1]} from the "
                    "variant, which the default comparison cannot judge; give the LitAPI compare(), or set quality.metric"
                )


def _is_floating(array: Array) -> bool:
    dtype = np.asarray(array).dtype
    return dtype.kind == "f" or dtype == BF16


def _numbers(pairs: _Pairs) -> Iterator[tuple[_Float64, _Float64]]:
    """One call after the other, because logits of a whole ensemble may be large."""
    for b, v in pairs:
        yield _float64(b), _float64(v)


def _float64(array: Array) -> _Float64:
    values = np.asarray(array)
    return (float32_of(values) if values.dtype == BF16 else values).astype(np.float64)
