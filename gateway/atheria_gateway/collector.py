"""The collector of Envoy's spans from OpenTelemetry's standard variables, as the activator's own exporter reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from atheria_contract.trace_export import (
    ENV_ENDPOINT,
    ENV_TRACES_ENDPOINT,
    GRPC,
    asking_variable,
    otlp_protocol,
)
from atheria_gateway.xds.tracing import Collector

ENV_SAMPLER: Final = "OTEL_TRACES_SAMPLER"
ENV_SAMPLER_ARGUMENT: Final = "OTEL_TRACES_SAMPLER_ARG"
ENV_RESOURCE: Final = "OTEL_RESOURCE_ATTRIBUTES"
_ALL: Final = ("", "always_on", "parentbased_always_on")
_NONE: Final = ("always_off", "parentbased_always_off")
_SOME: Final = ("traceidratio", "parentbased_traceidratio")
_TRACES_PATH: Final = "/v1/traces"


def collector_of(environment: Mapping[str, str]) -> Collector | None:
    """None unless spans are asked for by OTLP. ValueError names the variable, its value, what is allowed and what to do."""
    if not asking_variable(environment):
        return None
    variable = next((one for one in (ENV_TRACES_ENDPOINT, ENV_ENDPOINT) if environment.get(one)), "")
    if not variable:
        return None
    text = environment[variable].strip()
    wrong = f"{variable} is {text!r}, allowed is http://HOST:PORT or https://HOST:PORT: name the collector that way"
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise ValueError(wrong) from error
    if url.scheme not in ("http", "https") or not host or not port or url.query or url.username:
        raise ValueError(wrong)
    path = url.path if variable == ENV_TRACES_ENDPOINT else url.path.rstrip("/") + _TRACES_PATH
    return Collector(
        host=host,
        port=port,
        is_tls=url.scheme == "https",
        is_grpc=otlp_protocol(environment) == GRPC,
        path=path or _TRACES_PATH,
        sampled_ratio=_ratio(environment),
        attributes=_attributes(environment),
    )


def _ratio(environment: Mapping[str, str]) -> float:
    sampler = environment.get(ENV_SAMPLER, "").strip()
    if sampler in _ALL:
        return 1.0
    if sampler in _NONE:
        return 0.0
    if sampler not in _SOME:
        raise ValueError(
            f"{ENV_SAMPLER} is {sampler!r}, allowed is one of {', '.join((*_ALL[1:], *_NONE, *_SOME))}: change it or leave it out"
        )
    text = environment.get(ENV_SAMPLER_ARGUMENT, "").strip() or "1"
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ValueError(
            f"{ENV_SAMPLER_ARGUMENT} is {text!r}, allowed is a number from 0 to 1: change it or leave it out"
        )
    return ratio


def _attributes(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for part in environment.get(ENV_RESOURCE, "").split(","):
        key, equals, value = part.partition("=")
        if equals and key.strip():
            found.append((key.strip(), unquote(value.strip())))
    return tuple(found)
