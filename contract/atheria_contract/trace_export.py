"""Where spans go, as OpenTelemetry's standard environment variables say it: the same words for model server and activator.

Nothing here imports OpenTelemetry before somebody asks for spans. What a collector wants to see as proof (`headers`) and the authority of
its certificate (`ca.crt`) are files of a mounted Secret, never variables.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from atheria_contract import names

ENV_DISABLED: Final = "OTEL_SDK_DISABLED"
ENV_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
ENV_TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
ENV_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
ENV_ENDPOINTS: Final = (ENV_TRACES_ENDPOINT, ENV_ENDPOINT)
ENV_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
EXTRA: Final = "atheria[otel]"
GRPC: Final = "grpc"
HTTP: Final = "http/protobuf"
SHUTDOWN_SECONDS: Final = 2.0
"""At the end, for spans that are not sent yet."""
_EXPORTERS: Final = "opentelemetry_traces_exporter"
"""Entry point group of OpenTelemetry's packages."""
_BY_PROTOCOL: Final = {GRPC: "otlp_proto_grpc", HTTP: "otlp_proto_http"}
_NO_EXPORTER: Final = "none"
_OTLP: Final = "otlp"


class TraceExportError(ValueError):
    """Spans are asked for and cannot be sent; the message names the variable, its value, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorSecret:
    """What lies in the folder that names.ENV_TRACING_SECRET names; an absent file says nothing."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with each report."""
    authority_file: str = ""
    """PEM of the authority of the collector's certificate; empty = those of the system."""


def asking_variable(environment: Mapping[str, str]) -> str:
    """The name of the variable that asks for spans; empty for none."""
    if environment.get(ENV_DISABLED, "").strip().lower() == "true":
        return ""
    exporter = environment.get(ENV_EXPORTER, "").strip()
    if exporter:
        return "" if exporter == _NO_EXPORTER else ENV_EXPORTER
    return next((name for name in ENV_ENDPOINTS if environment.get(name)), "")


def exporter_names(environment: Mapping[str, str]) -> list[str]:
    """Entry points of the wanted exporters. Raises TraceExportError for a protocol that OTLP does not have."""
    wanted = [name.strip() for name in (environment.get(ENV_EXPORTER, "").strip() or _OTLP).split(",")]
    return [_BY_PROTOCOL[otlp_protocol(environment)] if name == _OTLP else name for name in wanted]


def otlp_protocol(environment: Mapping[str, str]) -> str:
    """GRPC or HTTP. Raises TraceExportError for another."""
    variable = next((name for name in ENV_PROTOCOLS if environment.get(name)), "")
    protocol = environment[variable].strip() if variable else GRPC
    if protocol not in _BY_PROTOCOL:
        raise TraceExportError(f"{variable} is {protocol!r}; allowed: {', '.join(_BY_PROTOCOL)}")
    return protocol


def read_collector_secret(folder: str) -> CollectorSecret:
    """From the files of names.ENV_TRACING_SECRET, empty = none. Raises TraceExportError for headers that are none, without saying
    what they are."""
    if not folder:
        return CollectorSecret()
    headers, authority = Path(folder, names.TRACING_HEADERS_FILE), Path(folder, names.TLS_CA_FILE)
    return CollectorSecret(
        headers=parse_headers(headers.read_text(encoding="utf-8"), str(headers)) if headers.is_file() else {},
        authority_file=str(authority) if authority.is_file() else "",
    )


def parse_headers(text: str, where: str) -> dict[str, str]:
    """`name=value` parts between commas or line ends. Raises TraceExportError, which does not repeat what it read."""
    found: dict[str, str] = {}
    for number, part in enumerate(text.replace("\n", ",").split(","), start=1):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise TraceExportError(
                f"{where}: part {number} is not name=value; write one header a line, e.g. x-api-key=…"
            )
        found[name.strip().lower()] = value.strip()
    return found


def make_provider(environment: Mapping[str, str], *, service_name: str, version: str = "") -> Any:
    """An opentelemetry.sdk.trace.TracerProvider that sends in the background from a bounded buffer; None unless spans are asked for.

    `service_name` holds unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise. Raises TraceExportError, also where
    spans are asked for and the extra is not installed.
    """
    asked_by = asking_variable(environment)
    if not asked_by:
        return None
    try:
        sdk: Any = import_module("opentelemetry.sdk.trace")
        export: Any = import_module("opentelemetry.sdk.trace.export")
        resources: Any = import_module("opentelemetry.sdk.resources")
    except ImportError as error:
        raise _missing(asked_by, "the OpenTelemetry SDK") from error
    about = {"service.name": service_name, **({"service.version": version} if version else {})}
    own = resources.Resource.create(about)
    resource = own.merge(resources.OTELResourceDetector().detect())
    provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
    secret = read_collector_secret(environment.get(names.ENV_TRACING_SECRET, ""))
    for name in exporter_names(environment):
        found = next(iter(entry_points(group=_EXPORTERS, name=name)), None)
        if found is None:
            raise _missing(asked_by, f"OpenTelemetry's exporter {name!r}")
        provider.add_span_processor(
            export.BatchSpanProcessor(found.load()(**_proof(name, environment, secret)))
        )
    logging.getLogger("opentelemetry").handlers = logging.getLogger("atheria").handlers
    return provider


def shut_down(provider: Any) -> None:
    """Send what is left, for SHUTDOWN_SECONDS at most: a collector that does not answer must not hold the process."""
    thread = threading.Thread(target=provider.shutdown, daemon=True)
    thread.start()
    thread.join(SHUTDOWN_SECONDS)


def _proof(name: str, environment: Mapping[str, str], secret: CollectorSecret) -> dict[str, Any]:
    if name not in _BY_PROTOCOL.values():
        return {}
    given: dict[str, Any] = {"headers": dict(secret.headers)} if secret.headers else {}
    endpoint = next((environment[one] for one in ENV_ENDPOINTS if environment.get(one)), "")
    if secret.authority_file and endpoint.startswith("https://"):
        if name == _BY_PROTOCOL[HTTP]:
            given["certificate_file"] = secret.authority_file
        else:
            grpc: Any = import_module("grpc")
            given["credentials"] = grpc.ssl_channel_credentials(Path(secret.authority_file).read_bytes())
    return given


def _missing(asked_by: str, what: str) -> TraceExportError:
    return TraceExportError(
        f"{asked_by} asks for spans, but {what} is not installed: install {EXTRA}, or set {ENV_DISABLED}=true"
    )
