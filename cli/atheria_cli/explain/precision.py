"""Why a model's weights are kept as they are: what was asked for, what was chosen and why, what it cost in quality. PURE; used by `explain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atheria_cli.model.summary import Body


def precision(body: Body) -> tuple[str, ...]:
    """What was asked for first; what a pod measured after, as far as one has."""
    spec, status = body.get("spec") or {}, body.get("status") or {}
    return (
        _asked(spec),
        *_chosen(status.get("precision") or {}),
        *_judged(status.get("quality") or {}),
        *_cache(status.get("kvCache") or {}),
    )


def _asked(spec: Mapping[str, Any]) -> str:
    asked = spec.get("precision") or {}
    policy = asked.get("policy", "fp32")
    if policy == "hierarchy":
        parts = (("encoder", "int8"), ("backbone", "nf4"), ("head", "bf16"))
        return "asked for: hierarchy: " + ", ".join(
            f"{part} {asked.get(part, default)}" for part, default in parts
        )
    if policy == "auto":
        return "asked for: auto: the cheapest that the hardware has, that fits its memory and that passes spec.quality"
    return f"asked for: {policy}" + ("" if asked.get("policy") else ", as spec.precision does not say")


def _chosen(told: Mapping[str, Any]) -> tuple[str, ...]:
    if not told.get("chosen"):
        return ("no pod has told yet what it runs: the first that starts does",)
    words = f"runs: {told['chosen']}" + (f": {told['why']}" if told.get("why") else "")
    weights = told.get("weightBytes")
    return (words, *((f"weights: {weights:,} bytes (measured)",) if weights is not None else ()))


def _judged(quality: Mapping[str, Any]) -> tuple[str, ...]:
    if not quality:
        return ()
    verdict = {True: "passed", False: "failed"}.get(quality.get("passed", ""), "not judged")
    message = f": {quality['message']}" if quality.get("message") else ""
    return (f"quality against fp32: {verdict}{message}", *map(_metric, quality.get("metrics") or ()))


def _metric(metric: Mapping[str, Any]) -> str:
    words = f"  {metric['name']} {metric['value']:.6g} (measured)"
    if metric.get("limit") is not None:
        words += f", limit {metric['limit']:.6g}"
    if metric.get("better"):
        words += f", {metric['better']} is better"
    return words + (f": {metric['outcome']}" if metric.get("outcome") else "")


def _cache(cache: Mapping[str, Any]) -> tuple[str, ...]:
    if not cache.get("precision"):
        return ()
    back = f", not {cache.get('wanted')} as asked for" if cache.get("steppedBack") else ""
    return (
        f"keys and values: {cache['precision']}{back}" + (f": {cache['why']}" if cache.get("why") else ""),
    )
