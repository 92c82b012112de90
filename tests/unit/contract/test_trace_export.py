"""Where spans go: what the standard variables and the files of a mounted Secret say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from atheria_contract.trace_export import (
    TraceExportError,
    asking_variable,
    exporter_names,
    parse_headers,
    read_collector_secret,
)

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("environment", "asked_by"),
    [
        ({}, ""),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_RESOURCE_ATTRIBUTES": "a=b"}, ""),
        (ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER"),
        ({"OTEL_TRACES_EXPORTER": "none", **ENDPOINT}, ""),
        ({"OTEL_SDK_DISABLED": "TRUE", **ENDPOINT}, ""),
        ({"OTEL_SDK_DISABLED": "false", **ENDPOINT}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ],
)
def test_spans_are_off_unless_a_standard_variable_asks_for_them(
    environment: Mapping[str, str], asked_by: str
) -> None:
    assert asking_variable(environment) == asked_by


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, ["otlp_proto_grpc"]),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, ["otlp_proto_http"]),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            ["otlp_proto_grpc"],
        ),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ["console", "otlp_proto_grpc"]),
    ],
)
def test_the_exporter_is_the_one_of_the_variables(environment: Mapping[str, str], names: list[str]) -> None:
    assert exporter_names(environment) == names


def test_a_protocol_that_otlp_does_not_have_is_named_with_the_allowed_ones() -> None:
    with pytest.raises(
        TraceExportError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL is 'thrift'; allowed: grpc, http/protobuf"
    ):
        exporter_names({"OTEL_EXPORTER_OTLP_PROTOCOL": "thrift"})


def test_headers_and_authority_are_files_of_a_folder_and_each_may_be_absent(tmp_path: Path) -> None:
    found = read_collector_secret(str(tmp_path))
    assert (found.headers, found.authority_file) == ({}, "")
    (tmp_path / "headers").write_text("X-Api-Key=a=b\ntenant = lab \n", encoding="utf-8")
    (tmp_path / "ca.crt").write_text("PEM", encoding="utf-8")
    found = read_collector_secret(str(tmp_path))
    assert found.headers == {"x-api-key": "a=b", "tenant": "lab"}
    assert found.authority_file == str(tmp_path / "ca.crt")
    assert "a=b" not in repr(found)
    assert read_collector_secret("").headers == {}


def test_headers_that_are_none_are_refused_without_repeating_them() -> None:
    with pytest.raises(
        TraceExportError, match=r"^file: part 2 is not name=value; write one header a line"
    ) as error:
        parse_headers("a=b,very-secret", "file")
    assert "very-secret" not in str(error.value)
