"""spec.precision, compile, warmup, quality and cache as sections of the serving configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atheria_contract import names
from atheria_contract.optimization import (
    CacheConfig,
    CalibrationConfig,
    CompileConfig,
    PrecisionConfig,
    QualityConfig,
    WarmupConfig,
)
from atheria_operator.api.model import CacheVolume, ModelIntent, Problem
from atheria_operator.api.parse import parse_model

Bodies = Callable[..., dict[str, Any]]
Intents = Callable[..., ModelIntent]
REQUEST = '{"inputs": [{"name": "seed", "datatype": "INT64", "shape": [1], "data": [7]}]}'


def test_one_word_is_the_policy_and_the_hierarchy_has_its_groups(intent: Intents) -> None:
    assert intent(precision={"policy": "bf16"}).serving.precision == PrecisionConfig(policy="bf16")
    given = {
        "policy": "hierarchy",
        "encoder": "bf16",
        "backbone": "int8",
        "head": "fp32",
        "compute": "bf16",
        "keepFp32": ["law.out", "*.norm"],
        "calibration": {"method": "smoothquant", "samples": 32},
    }
    assert intent(precision=given).serving.precision == PrecisionConfig(
        policy="hierarchy",
        encoder="bf16",
        backbone="int8",
        head="fp32",
        compute="bf16",
        keep_fp32=("law.out", "*.norm"),
        calibration=CalibrationConfig(method="smoothquant", samples=32),
    )


def test_compile_warmup_and_quality_arrive_with_seconds(intent: Intents) -> None:
    serving = intent(
        compile={
            "mode": "aot",
            "fullgraph": False,
            "onMiss": "refuse",
            "rowBuckets": [1, 4, 8],
            "wait": "2m",
        },
        warmup={
            "shapes": [[16, 8, 8]],
            "requests": [REQUEST],
            "hooks": ["pkg.warm:all"],
            "hookTimeout": "5m",
        },
        quality={
            "profile": "strict",
            "limits": {"C4": 0.02, "F_16": 1},
            "metric": "pkg:judge",
            "ensemble": 32,
            "allowUnvalidated": True,
        },
    ).serving
    assert serving.compile == CompileConfig(
        mode="aot", fullgraph=False, on_miss="refuse", row_buckets=(1, 4, 8), wait_seconds=120.0
    )
    assert serving.warmup_shapes == ((16, 8, 8),)
    assert serving.warmup == WarmupConfig(
        requests=(REQUEST,), hooks=("pkg.warm:all",), hook_timeout_seconds=300.0
    )
    assert serving.quality == QualityConfig(
        profile="strict",
        limits={"C4": 0.02, "F_16": 1.0},
        metric="pkg:judge",
        ensemble=32,
        allow_unvalidated=True,
    )


@pytest.mark.parametrize(
    ("given", "section", "volume"),
    [
        ({}, CacheConfig(), CacheVolume()),
        # There is nothing to sign.
        ({"signingSecretName": "s"}, CacheConfig(), CacheVolume()),
        (
            {"emptyDir": {}},
            CacheConfig(directory=names.CACHE_DIRECTORY),
            CacheVolume(volume={"emptyDir": {}}),
        ),
        (
            {"emptyDir": {"sizeLimit": "2Gi"}},
            CacheConfig(directory=names.CACHE_DIRECTORY),
            CacheVolume(volume={"emptyDir": {"sizeLimit": "2Gi"}}),
        ),
        (
            {"persistentVolumeClaim": {"claimName": "c"}, "signingSecretName": "s", "key": "k.txt"},
            CacheConfig(
                directory=names.CACHE_DIRECTORY,
                key_file=f"{names.CACHE_KEY_DIRECTORY}/k.txt",
                is_shared=True,
            ),
            CacheVolume(
                volume={"persistentVolumeClaim": {"claimName": "c"}}, secret_name="s", secret_key="k.txt"
            ),
        ),
        (
            {"hostPath": {"path": "/var/x"}},
            CacheConfig(directory=names.CACHE_DIRECTORY, is_shared=True),
            CacheVolume(volume={"hostPath": {"path": "/var/x", "type": "DirectoryOrCreate"}}),
        ),
    ],
    ids=["none", "a key alone", "empty", "empty with a limit", "claim", "host path"],
)
def test_a_cache_is_a_folder_of_the_pod_and_the_volume_behind_it(
    intent: Intents, given: dict[str, Any], section: CacheConfig, volume: CacheVolume
) -> None:
    found = intent(cache=given)
    assert found.serving.cache == section
    assert found.cache == volume


@pytest.mark.parametrize("text", ["{]", '"text"', "[]", '{"seed": 1}', '{"inputs": {}}', "[" * 5_000])
def test_a_sample_request_that_is_none_is_a_problem_with_its_place_and_an_example(
    body: Bodies, text: str
) -> None:
    found = parse_model(body(warmup={"requests": [REQUEST, text]}))
    assert isinstance(found, Problem)
    assert found.reason == "InvalidSpec"
    assert "spec.warmup.requests[1]" in found.message
    assert '"datatype": "INT64"' in found.message


@pytest.mark.parametrize(
    ("part", "given", "field"),
    [
        ("precision", {"policy": "int4"}, "spec.precision.policy"),
        ("precision", {"keepFp32": [""]}, "spec.precision.keepFp32.0"),
        ("compile", {"mode": "fast"}, "spec.compile.mode"),
        ("compile", {"rowBuckets": [0]}, "spec.compile.rowBuckets.0"),
        ("warmup", {"hooks": ["os.system"]}, "spec.warmup.hooks.0"),
        ("quality", {"ensemble": 1}, "spec.quality.ensemble"),
        ("quality", {"limits": {"C4": -1}}, "spec.quality.limits.C4"),
        ("cache", {"hostPath": {"path": "relative"}}, "spec.cache.hostPath.path"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(
    body: Bodies, part: str, given: dict[str, Any], field: str
) -> None:
    found = parse_model(body(**{part: given}))
    assert isinstance(found, Problem)
    assert field in found.message
