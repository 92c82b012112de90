"""The optimisation part of the API, of the serving configuration and of the server say the same."""

from __future__ import annotations

import json
import re
import typing
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from atheria_contract import optimization
from atheria_contract.serving import ServingConfig, parse_serving_config
from atheria_operator.api.model import ModelIntent
from atheria_operator.api.parse import parse_model
from atheria_operator.api.types import AtheriaModelSpec, Cache, Compile, Precision, Quality, Warmup
from atheria_operator.api.types.fields import SOURCE_PATTERN
from atheria_operator.api.types.text import Attention, KvCache
from atheria_operator.domain.desired.revision import config_text
from atheria_operator.domain.desired.volumes import build_volumes
from atheria_operator.domain.pods import PASSING_REFUSALS, PERMANENT_REFUSALS
from atheria_operator.domain.status import optimization as status
from atheria_operator.domain.status.report import read_report
from atheria_server.core.attention_choice import CHOICES
from atheria_server.core.cache_error_budget import CacheErrorBudget
from atheria_server.core.cache_precision import CachePrecision
from atheria_server.core.errors import REFUSALS
from atheria_server.models.text.settings import parse_text_settings
from atheria_server.optimize import report
from atheria_server.sources import source_url

SECTIONS: list[tuple[type[BaseModel], Any]] = [
    (Precision, optimization.PrecisionConfig),
    (Compile, optimization.CompileConfig),
    (Warmup, optimization.WarmupConfig),
    (Quality, optimization.QualityConfig),
]
RENAMED = {"wait_seconds": "wait", "hook_timeout_seconds": "hookTimeout"}


def _parsed(**spec: Any) -> ModelIntent:
    metadata = {"name": "m", "namespace": "n", "uid": "u"}
    found = parse_model({"metadata": metadata, "spec": {"model": {"source": "builtin://qca"}, **spec}})
    assert isinstance(found, ModelIntent), found
    return found


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def test_the_defaults_of_the_api_are_those_of_the_serving_configuration() -> None:
    default = ServingConfig(name="m", source="builtin://qca")
    for name in ("precision", "compile", "warmup", "quality", "cache"):
        assert getattr(_parsed().serving, name) == getattr(default, name), name


def test_a_model_that_says_nothing_keeps_the_small_configuration_and_the_server_fills_the_same_in() -> None:
    text = config_text(_parsed().serving)
    sections = {field.name for field in fields(ServingConfig) if is_dataclass(_default(field))}
    assert sections == {"precision", "compile", "warmup", "quality", "cache", "standby"}
    assert not sections & set(re.findall(r'"(\w+)":', text))
    assert parse_serving_config(text) == _parsed().serving


def test_a_model_that_says_everything_is_read_back_by_the_server() -> None:
    serving = _parsed(
        precision={"policy": "hierarchy", "keepFp32": ["a"], "calibration": {"method": "minmax"}},
        compile={"mode": "aot", "rowBuckets": [1, 2]},
        warmup={"requests": ['{"inputs": []}'], "hooks": ["a:b"]},
        quality={"limits": {"C4": 0.1}},
        cache={"emptyDir": {}},
    ).serving
    assert parse_serving_config(config_text(serving)) == serving


@pytest.mark.parametrize(("kind", "section"), SECTIONS)
def test_every_setting_of_a_section_is_a_field_of_the_api(kind: type[BaseModel], section: Any) -> None:
    wanted = {RENAMED.get(field.name, _camel(field.name)) for field in fields(section)}
    assert wanted <= set(kind.model_fields)


@pytest.mark.parametrize(
    ("kind", "field", "words"),
    [
        (Precision, "policy", optimization.POLICIES),
        (Precision, "encoder", optimization.PRECISIONS),
        (Precision, "backbone", optimization.PRECISIONS),
        (Precision, "head", optimization.PRECISIONS),
        (Precision, "compute", optimization.COMPUTE_TYPES),
        (Compile, "mode", optimization.COMPILE_MODES),
        (Compile, "onMiss", optimization.ON_MISS),
        (Quality, "profile", optimization.QUALITY_PROFILES),
    ],
)
def test_the_words_of_the_api_are_those_of_the_server(
    kind: type[BaseModel], field: str, words: tuple[str, ...]
) -> None:
    assert set(typing.get_args(kind.model_fields[field].annotation)) == set(words)


def test_the_methods_of_calibration_are_those_of_the_server() -> None:
    calibration: Any = Precision.model_fields["calibration"].annotation
    words = typing.get_args(calibration.model_fields["method"].annotation)
    assert set(words) == set(optimization.CALIBRATIONS)


def test_every_kind_of_cache_is_rendered() -> None:
    assert set(Cache.model_fields) == {
        "persistentVolumeClaim",
        "hostPath",
        "emptyDir",
        "signingSecretName",
        "key",
    }
    assert "cache" in AtheriaModelSpec.model_fields


def test_the_fields_of_text_models_are_parameters_of_the_server_with_its_words_and_defaults() -> None:
    typed = {
        "kvCache": {"precision": "int2", "recentWindow": 64, "leastAgreement": 0.5, "mostDivergence": 0.5},
        "attention": {"kernel": "flash"},
    }
    model = {"source": "builtin://sceneline", "runtime": "text"}
    settings = parse_text_settings(_parsed(model=model, **typed).serving.parameters)
    assert settings.cache.precision is CachePrecision.INT2
    assert settings.cache.recent_window == 64
    assert settings.error_budget == CacheErrorBudget(least_agreement=0.5, most_divergence=0.5)
    assert settings.attention == "flash"
    plain = parse_text_settings(_parsed(model=model).serving.parameters)
    for field, value in (
        (KvCache.model_fields["precision"], plain.cache.precision),
        (KvCache.model_fields["recentWindow"], plain.cache.recent_window),
        (KvCache.model_fields["leastAgreement"], plain.error_budget.least_agreement),
        (KvCache.model_fields["mostDivergence"], plain.error_budget.most_divergence),
        (Attention.model_fields["kernel"], plain.attention),
    ):
        assert f"Default: {value}." in str(field.description)
    for field, words in (
        (KvCache.model_fields["precision"], CachePrecision),
        (Attention.model_fields["kernel"], CHOICES),
    ):
        literal, _ = typing.get_args(field.annotation)
        assert set(typing.get_args(literal)) == set(words)


def test_the_operator_knows_every_word_that_a_server_refuses_a_model_with() -> None:
    assert PERMANENT_REFUSALS | PASSING_REFUSALS == REFUSALS
    assert not PERMANENT_REFUSALS & PASSING_REFUSALS


def test_the_verdicts_of_a_report_are_those_that_the_status_explains() -> None:
    assert (status.BASELINE, status.PASSED, status.ALLOWED, status.NOT_JUDGED) == (
        report.BASELINE,
        report.PASSED,
        report.ALLOWED,
        report.NOT_JUDGED,
    )


def test_what_a_servers_report_says_arrives_in_the_status() -> None:
    told = report.build_report(
        policy="hierarchy",
        why="asked for",
        weight_bytes=18_432,
        quality=report.quality_section(
            "default",
            passed=True,
            reason=report.PASSED,
            message="all within",
            measurements=[{"name": "F_8", "value": 0.9997, "limit": 0.98}],
        ),
        compiled=report.compile_section(
            "aot", cache="miss", why="first pod", graphs=2, seconds=20.5, saved_seconds=0.5
        ),
        warm=[{"shape": [16, 8, 8], "rows": 8, "compile_seconds": 10.0, "run_seconds": 0.01}],
    )
    of = {"revision": "m-a", "pod": "p"}
    assert read_report(json.loads(json.dumps(told)), **of) == {
        "quality": {
            **of,
            "passed": True,
            "profile": "default",
            "reason": "Passed",
            "message": "all within",
            "metrics": [{"name": "F_8", "value": 0.9997, "limit": 0.98}],
        },
        "precision": {**of, "chosen": "hierarchy", "why": "asked for", "weightBytes": 18_432},
        "compileCache": {
            **of,
            "mode": "aot",
            "result": "miss",
            "why": "first pod",
            "graphs": 2,
            "seconds": 20.5,
            "savedSeconds": 0.5,
        },
        "warmup": [{"shape": "16x8x8", "rows": 8, "compileSeconds": 10.0, "runSeconds": 0.01}],
    }


@pytest.mark.parametrize(
    ("source", "below"),
    [("pvc://claim/folder/a.safetensors", "folder/a.safetensors"), ("oci://host/image:1#weights", "weights")],
)
def test_what_the_operator_mounts_is_where_the_server_looks(source: str, below: str) -> None:
    (mounted,) = build_volumes(_parsed(model={"source": source}), "IfNotPresent")
    assert str(source_url.parse_source(source).local) == f"{mounted.mount['mountPath']}/{below}"


@pytest.mark.parametrize(
    "source",
    [
        "file:///models/a",
        "pvc://claim/folder/a.safetensors",
        "pvc://claim",
        "hf:///models/llama",
        "hf://owner/Name.1@main",
        "s3://bucket/key",
        "gs://bucket/key",
        "https://host.example:8443/a.pt2",
        "oci://registry.example/team/model:1@sha256:ab#weights",
    ],
)
def test_the_api_takes_the_sources_of_files_that_the_server_reads(source: str) -> None:
    assert re.match(SOURCE_PATTERN, source)
    assert source_url.is_files(source)
    assert source_url.parse_source(source).text == source


def _default(field: Any) -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default
