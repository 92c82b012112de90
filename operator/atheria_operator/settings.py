"""The operator's settings, from the environment; `__main__` reads them once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from atheria_contract import names
from atheria_contract.json_log import FORMATS, TEXT
from atheria_contract.trace_export import GRPC, HTTP
from atheria_operator.domain.certificates.stored import IssuerRef
from atheria_operator.domain.desired.telemetry import Telemetry

ENV_NAMESPACES: Final = "ATHERIA_NAMESPACES"
ENV_PULL_POLICY: Final = "ATHERIA_IMAGE_PULL_POLICY"
ENV_DEMAND_PORT: Final = "ATHERIA_DEMAND_PORT"
ENV_METRICS_PORT: Final = "ATHERIA_METRICS_PORT"
ENV_EXTERNAL_SCALER_PORT: Final = "ATHERIA_EXTERNAL_SCALER_PORT"
ENV_EXTERNAL_SCALER_ADDRESS: Final = "ATHERIA_EXTERNAL_SCALER_ADDRESS"
ENV_EXTERNAL_METRICS_PORT: Final = "ATHERIA_EXTERNAL_METRICS_PORT"
ENV_EXTERNAL_METRICS_CERTIFICATES: Final = "ATHERIA_EXTERNAL_METRICS_CERTIFICATES"
ENV_RESYNC_SECONDS: Final = "ATHERIA_RESYNC_SECONDS"
ENV_STUCK_SECONDS: Final = "ATHERIA_STUCK_SECONDS"
ENV_UPGRADES_AT_ONCE: Final = "ATHERIA_UPGRADES_AT_ONCE"
ENV_POD_TLS_MODE: Final = "ATHERIA_POD_TLS_MODE"
ENV_POD_TLS_NAME: Final = "ATHERIA_POD_TLS_NAME"
ENV_POD_TLS_MODELS: Final = "ATHERIA_POD_TLS_MODELS"
ENV_POD_TLS_ISSUER: Final = "ATHERIA_POD_TLS_ISSUER"
ENV_LOG_LEVEL: Final = "ATHERIA_LOG_LEVEL"
ENV_MODEL_OTLP_ENDPOINT: Final = "ATHERIA_MODEL_OTLP_ENDPOINT"
ENV_MODEL_OTLP_PROTOCOL: Final = "ATHERIA_MODEL_OTLP_PROTOCOL"
ENV_MODEL_TRACING_SECRET: Final = "ATHERIA_MODEL_TRACING_SECRET"  # noqa: S105 - its name
ENV_KUBECONFIG: Final = "KUBECONFIG"
_CERTIFICATES: Final = "/etc/atheria/external-metrics"
_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_PROTOCOLS: Final = (GRPC, HTTP)
_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
_PLAIN: Final = "plain"
_INTERNAL: Final = "internal"
_CERT_MANAGER: Final = "cert-manager"
_POD_CERTIFICATES: Final = "/etc/atheria/pod-tls"


class SettingsError(ValueError):
    """A variable cannot be used; the message names it, its value, what is allowed and where to set it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTlsSettings:
    """Mutual TLS between gateway, operator and model pods."""

    name: str
    """What the names of the release's objects begin with."""
    for_models: bool = True
    """False: models go back to plain text, while gateway and operator keep their certificates."""
    issuer: IssuerRef | None = None
    """cert-manager's; None = the operator's own authority."""
    directory: str = _POD_CERTIFICATES
    """Folder with the operator's own certificate, where it is cert-manager's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of the operator's settings."""

    server_image: str
    """Image of model servers where a hardware profile names none."""
    pull_policy: str = "IfNotPresent"
    """imagePullPolicy of model pods."""
    namespaces: tuple[str, ...] = ()
    """Namespaces whose models are served; empty = all of the cluster."""
    demand_port: int = names.PORT_DEMAND
    metrics_port: int = names.PORT_METRICS
    external_scaler_port: int | None = None
    """Where KEDA asks (scaling class keda); None = nowhere."""
    external_scaler_address: str = ""
    """host:port under which KEDA reaches that port, as ScaledObjects name it."""
    external_metrics_port: int | None = None
    """Where the API server asks for external metrics (scaling class hpa); None = nowhere."""
    external_metrics_certificates: str = _CERTIFICATES
    """Folder with tls.crt and tls.key for it."""
    standby_key_file: str = ""
    """The key from which the tokens of models in standby follow; empty = no model sleeps."""
    resync_seconds: float = 180.0
    """Longest time between two rounds of a model, should the watches miss something."""
    kubeconfig: str = ""
    """Path; empty = the pod's service account."""
    pod_name: str = "atheria-operator"
    """Named in Events as their source, and the holder of the Lease."""
    pod_namespace: str = ""
    """Where the Lease of the operators is; empty (outside a cluster) = this is the only one."""
    stuck_seconds: float = 600.0
    """A round of a loop that takes longer hangs: the liveness probe fails."""
    upgrades_at_once: int = 1
    """Models that change to another default server image, or to other settings of all pods, at the same time."""
    pod_tls: PodTlsSettings | None = None
    """None = calls to model pods are plain text."""
    log_level: str = "INFO"
    log_format: str = TEXT
    model_telemetry: Telemetry = field(default_factory=Telemetry)
    """What models' pods are told about spans and logs."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables. Raises SettingsError."""
    image = environment.get(names.ENV_SERVER_IMAGE, "")
    if not image:
        raise SettingsError(
            f"{names.ENV_SERVER_IMAGE} is empty: set it to the image of the model server (chart value server.image)"
        )
    scaler_port = _optional_port(environment, ENV_EXTERNAL_SCALER_PORT)
    scaler_address = environment.get(ENV_EXTERNAL_SCALER_ADDRESS, "")
    if (scaler_port is None) != (not scaler_address):
        raise SettingsError(
            f"{ENV_EXTERNAL_SCALER_PORT} is {environment.get(ENV_EXTERNAL_SCALER_PORT, '')!r} and {ENV_EXTERNAL_SCALER_ADDRESS} is "
            f"{scaler_address!r}: set both or none (chart value operator.externalScaler.enabled)"
        )
    return Settings(
        server_image=image,
        pull_policy=_one_of(environment, ENV_PULL_POLICY, "IfNotPresent", _PULL_POLICIES),
        namespaces=tuple(
            sorted({part.strip() for part in environment.get(ENV_NAMESPACES, "").split(",")} - {""})
        ),
        demand_port=_port(environment, ENV_DEMAND_PORT, names.PORT_DEMAND),
        metrics_port=_port(environment, ENV_METRICS_PORT, names.PORT_METRICS),
        external_scaler_port=scaler_port,
        external_scaler_address=scaler_address,
        external_metrics_port=_optional_port(environment, ENV_EXTERNAL_METRICS_PORT),
        external_metrics_certificates=environment.get(ENV_EXTERNAL_METRICS_CERTIFICATES) or _CERTIFICATES,
        standby_key_file=environment.get(names.ENV_STANDBY_KEY_FILE, ""),
        resync_seconds=_seconds(environment, ENV_RESYNC_SECONDS, 180.0),
        kubeconfig=environment.get(ENV_KUBECONFIG, ""),
        pod_namespace=environment.get(names.ENV_POD_NAMESPACE, ""),
        stuck_seconds=_seconds(environment, ENV_STUCK_SECONDS, 600.0),
        pod_name=environment.get(names.ENV_POD_NAME, "") or "atheria-operator",
        upgrades_at_once=_count(environment, ENV_UPGRADES_AT_ONCE, 1),
        pod_tls=_pod_tls(environment),
        log_level=_one_of(environment, ENV_LOG_LEVEL, "INFO", _LOG_LEVELS),
        log_format=_one_of(environment, names.ENV_LOG_FORMAT, TEXT, FORMATS),
        model_telemetry=_model_telemetry(environment),
    )


def _pod_tls(environment: Mapping[str, str]) -> PodTlsSettings | None:
    mode = _one_of(environment, ENV_POD_TLS_MODE, _PLAIN, (_PLAIN, _INTERNAL, _CERT_MANAGER))
    if mode == _PLAIN:
        return None
    for name in (ENV_POD_TLS_NAME, names.ENV_POD_NAMESPACE):
        if not environment.get(name):
            raise SettingsError(
                f"{ENV_POD_TLS_MODE} is {mode!r} and {name} is empty: set it as the chart does"
            )
    return PodTlsSettings(
        name=environment[ENV_POD_TLS_NAME],
        for_models=_one_of(environment, ENV_POD_TLS_MODELS, "on", ("on", "off")) == "on",
        issuer=_issuer(environment.get(ENV_POD_TLS_ISSUER) or "") if mode == _CERT_MANAGER else None,
        directory=environment.get(names.ENV_POD_TLS_DIRECTORY) or _POD_CERTIFICATES,
    )


def _issuer(text: str) -> IssuerRef:
    try:
        found = json.loads(text)
        return IssuerRef(name=str(found["name"]), kind=str(found["kind"]), group=str(found["group"]))
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f'{ENV_POD_TLS_ISSUER} is {text!r}: use JSON as {{"name": "…", "kind": "Issuer", "group": "cert-manager.io"}} (chart value '
            "podTls.certManager.issuerRef)"
        ) from error


def _model_telemetry(environment: Mapping[str, str]) -> Telemetry:
    endpoint = environment.get(ENV_MODEL_OTLP_ENDPOINT, "")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise SettingsError(
            f"{ENV_MODEL_OTLP_ENDPOINT} is {endpoint!r}: use http://HOST:PORT or https://HOST:PORT (chart value tracing.endpoint)"
        )
    return Telemetry(
        endpoint=endpoint,
        protocol=_one_of(environment, ENV_MODEL_OTLP_PROTOCOL, GRPC, _PROTOCOLS),
        secret_name=environment.get(ENV_MODEL_TRACING_SECRET, ""),
        log_format=_one_of(environment, names.ENV_LOG_FORMAT, TEXT, FORMATS),
    )


def _one_of(environment: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = environment.get(name) or default
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}: use one of {', '.join(allowed)}")
    return value


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not value.isdecimal() or int(value) > 65535:
        raise SettingsError(f"{name} is {value!r}: use a port from 1 to 65535, or 0 for a free one")
    return int(value)


def _optional_port(environment: Mapping[str, str], name: str) -> int | None:
    return _port(environment, name, 0) if environment.get(name) else None


def _count(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not value.isdecimal() or not 1 <= int(value) <= 1000:
        raise SettingsError(f"{name} is {value!r}: use a number from 1 to 1000")
    return int(value)


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    value = environment.get(name) or str(default)
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:
        raise SettingsError(f"{name} is {value!r}: use seconds from 1 to 3600")
    return seconds
