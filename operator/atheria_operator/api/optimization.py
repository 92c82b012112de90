"""spec.precision, compile, warmup, quality and cache as the sections of a ServingConfig; called by `api.parse`."""

from __future__ import annotations

import json
from typing import Any

from atheria_contract import names
from atheria_contract.optimization import (
    CacheConfig,
    CalibrationConfig,
    CompileConfig,
    PrecisionConfig,
    QualityConfig,
    WarmupConfig,
)
from atheria_operator.api.durations import duration_seconds
from atheria_operator.api.model import CacheVolume
from atheria_operator.api.types import Cache, Compile, Precision, Quality, Warmup


def precision_section(given: Precision) -> PrecisionConfig:
    """What the weights are kept as."""
    return PrecisionConfig(
        policy=given.policy,
        encoder=given.encoder,
        backbone=given.backbone,
        head=given.head,
        compute=given.compute,
        keep_fp32=tuple(given.keepFp32),
        calibration=CalibrationConfig(method=given.calibration.method, samples=given.calibration.samples),
    )


def compile_section(given: Compile) -> CompileConfig:
    """Whether and how functions are compiled."""
    return CompileConfig(
        mode=given.mode,
        fullgraph=given.fullgraph,
        on_miss=given.onMiss,
        row_buckets=tuple(given.rowBuckets),
        wait_seconds=duration_seconds(given.wait, "spec.compile.wait"),
    )


def warmup_section(given: Warmup) -> WarmupConfig:
    """Requests and hooks; the shapes have a field of their own. Raises ValueError for a request that is no JSON object."""
    for index, text in enumerate(given.requests):
        _check_request(index, text)
    return WarmupConfig(
        requests=tuple(given.requests),
        hooks=tuple(given.hooks),
        hook_timeout_seconds=duration_seconds(given.hookTimeout, "spec.warmup.hookTimeout"),
    )


def quality_section(given: Quality) -> QualityConfig:
    """How far the variant may be from its baseline."""
    return QualityConfig(
        profile=given.profile,
        limits=dict(given.limits),
        metric=given.metric,
        ensemble=given.ensemble,
        allow_unvalidated=given.allowUnvalidated,
    )


def cache_section(given: Cache) -> CacheConfig:
    """Where in the pod the cache and its key are."""
    volume = cache_volume(given)
    if not volume.volume:
        return CacheConfig()
    return CacheConfig(
        directory=names.CACHE_DIRECTORY,
        key_file=f"{names.CACHE_KEY_DIRECTORY}/{volume.secret_key}" if volume.secret_name else "",
        is_shared=given.emptyDir is None,
    )


def cache_volume(given: Cache) -> CacheVolume:
    """What is to be mounted; a key without a volume signs nothing, and is not mounted."""
    volume: dict[str, Any] = {}
    if given.persistentVolumeClaim is not None:
        volume = {"persistentVolumeClaim": {"claimName": given.persistentVolumeClaim.claimName}}
    elif given.hostPath is not None:
        volume = {"hostPath": {"path": given.hostPath.path, "type": "DirectoryOrCreate"}}
    elif given.emptyDir is not None:
        limit = given.emptyDir.sizeLimit
        volume = {"emptyDir": {"sizeLimit": limit} if limit else {}}
    if not volume:
        return CacheVolume()
    has_key = bool(given.signingSecretName)
    return CacheVolume(
        volume=volume, secret_name=given.signingSecretName, secret_key=given.key if has_key else ""
    )


def _check_request(index: int, text: str) -> None:
    field = f"spec.warmup.requests[{index}]"
    example = '{"inputs": [{"name": "seed", "datatype": "INT64", "shape": [1], "data": [7]}]}'
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{field} is {text[:60]!r}, which is not JSON ({error}): write it like {example}"
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("inputs"), list):
        raise ValueError(f"{field} is {text[:60]!r}, which has no list of inputs: write it like {example}")
