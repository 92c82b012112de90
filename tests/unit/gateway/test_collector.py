"""The collector of Envoy's spans, from the standard variables."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from atheria_gateway.collector import collector_of
from atheria_gateway.settings import settings_from
from atheria_gateway.xds.tracing import Collector

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel.monitoring:4317"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "true"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": "console"},
    ],
)
def test_there_is_none_unless_spans_go_out_by_otlp(environment: Mapping[str, str]) -> None:
    assert collector_of(environment) is None
    assert settings_from(environment).collector is None


def test_an_endpoint_alone_means_grpc_in_plain_text_and_every_call() -> None:
    assert collector_of(ENDPOINT) == Collector(host="otel.monitoring", port=4317)
    assert settings_from(ENDPOINT).collector == collector_of(ENDPOINT)


def test_scheme_protocol_sampler_and_resource_are_those_of_the_variables() -> None:
    found = collector_of(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel:4318/in",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
            "OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=gateway-0, a=b%20c,nothing",
        }
    )
    assert found == Collector(
        host="otel",
        port=4318,
        is_tls=True,
        is_grpc=False,
        path="/in/v1/traces",
        sampled_ratio=0.01,
        attributes=(("k8s.pod.name", "gateway-0"), ("a", "b c")),
    )


@pytest.mark.parametrize(
    ("sampler", "ratio"),
    [("always_on", 1), ("parentbased_always_off", 0), ("traceidratio", 1)],
)
def test_a_sampler_without_an_argument_takes_all_or_nothing(sampler: str, ratio: float) -> None:
    found = collector_of({**ENDPOINT, "OTEL_TRACES_SAMPLER": sampler})
    assert found is not None
    assert found.sampled_ratio == ratio


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "otel:4317"}, "allowed is http://HOST:PORT or https://HOST:PORT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel"}, "allowed is http://HOST:PORT or https://HOST:PORT"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:99999"},
            "OTEL_EXPORTER_OTLP_ENDPOINT is 'http://otel:99999'",
        ),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "thrift"}, "allowed: grpc, http/protobuf"),
        ({**ENDPOINT, "OTEL_TRACES_SAMPLER": "jaeger_remote"}, "OTEL_TRACES_SAMPLER is 'jaeger_remote'"),
        (
            {**ENDPOINT, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
            "a number from 0 to 1",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(wrong: Mapping[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        settings_from(wrong)
