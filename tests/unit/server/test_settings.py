"""The command line becomes a ServingConfig, or one line that says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from atheria_contract.serving import ServingConfig, ServingConfigError
from atheria_server.settings import parse_arguments, parse_duration


def test_the_documented_command_line_is_understood() -> None:
    config = parse_arguments(
        [
            "serve",
            "builtin://qca",
            "--set",
            "law=kerr",
            "--set",
            "kappa=0.5",
            "--set",
            "d=8",
            "--name",
            "qca-kerr",
            "--grpc-port",
            "1",
            "--http-port",
            "2",
            "--max-batch-size",
            "4",
            "--max-latency",
            "20ms",
            "--warmup-shape",
            "16,64,64",
        ]
    )
    assert config == ServingConfig(
        name="qca-kerr",
        source="builtin://qca",
        parameters={"law": "kerr", "kappa": 0.5, "d": 8},
        grpc_port=1,
        http_port=2,
        max_batch_size=4,
        max_latency_seconds=0.02,
        warmup_shapes=((16, 64, 64),),
    )


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("builtin://qca", "qca"),
        ("python://a.b:MyApi", "myapi"),
        ("weird", "weird"),
        ("file:///models/net.pt2", "net"),
        ("s3://bucket/a/Model/", "model"),
        ("hf:///models/tiny", "tiny"),
    ],
)
def test_the_name_comes_from_the_source_where_none_is_given(source: str, name: str) -> None:
    assert parse_arguments(["serve", source]).name == name


def test_the_options_of_optimization_become_its_sections(tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text("{}")
    config = parse_arguments(
        [
            "serve",
            "builtin://qca",
            "--precision",
            "hierarchy",
            "--group-precision",
            "head=fp32",
            "--keep-fp32",
            "law.out",
            "--compile",
            "default",
            "--row-buckets",
            "4,1",
            "--on-miss",
            "refuse",
            "--warmup-request",
            str(request),
            "--warmup-hook",
            "a.b:c",
            "--quality",
            "strict",
            "--quality-limit",
            "C4=0.1",
            "--cache",
            "/cache",
            "--cache-key",
            "/key",
            "--cache-shared",
        ]
    )
    assert (config.precision.policy, config.precision.head, config.precision.encoder) == (
        "hierarchy",
        "fp32",
        "int8",
    )
    assert config.precision.keep_fp32 == ("law.out",)
    assert (config.compile.mode, config.compile.row_buckets, config.compile.on_miss) == (
        "default",
        (1, 4),
        "refuse",
    )
    assert (config.warmup.requests, config.warmup.hooks) == (("{}",), ("a.b:c",))
    assert (config.quality.profile, config.quality.limits) == ("strict", {"C4": 0.1})
    assert (config.cache.directory, config.cache.key_file, config.cache.is_shared) == ("/cache", "/key", True)


def test_a_configuration_file_is_read_and_options_override_it(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text(ServingConfig(name="m", source="builtin://qca", max_batch_size=2).to_json())
    config = parse_arguments(["serve", "--config", str(file), "--http-port", "9"])
    assert (config.name, config.max_batch_size, config.http_port) == ("m", 2, 9)


@pytest.mark.parametrize(
    ("text", "seconds"), [("50ms", 0.05), ("1.5s", 1.5), ("2m", 120), ("1h", 3600), ("0", 0), ("0s", 0)]
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("serve", "no model"),
        ("serve builtin://qca --config x", "not both"),
        ("serve --config /nowhere/model.json", "/nowhere/model.json"),
        ("serve builtin://qca --max-latency 50", "50ms"),
        ("serve builtin://qca --set law", "KEY=VALUE"),
        ("serve builtin://qca --warmup-shape a,b", "16,64,64"),
        ("serve builtin://qca --warmup-shape 0,8,8", "1 or more"),
        ("serve builtin://qca --grpc-port 70000", "grpc_port"),
        ("serve builtin://qca --grpc-port 5 --http-port 5", "both 5"),
        ("serve builtin://qca --max-batch-size 0", "max_batch_size"),
    ],
)
def test_a_wrong_command_line_says_what_is_expected(arguments: str, words: str) -> None:
    with pytest.raises(ServingConfigError) as refused:
        parse_arguments(arguments.split())
    assert words in str(refused.value)
