"""The operator's settings, from the environment; `__main__` reads them once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from atheria_contract import names

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
ENV_LOG_LEVEL: Final = "ATHERIA_LOG_LEVEL"
ENV_KUBECONFIG: Final = "KUBECONFIG"
_CERTIFICATES: Final = "/etc/atheria/external-metrics"
_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(ValueError):
    """A variable cannot be used; the message names it, its value, what is allowed and where to set it."""


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
    """Models that follow a new default server image at the same time, of those that opted in."""
    log_level: str = "INFO"


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
        log_level=_one_of(environment, ENV_LOG_LEVEL, "INFO", _LOG_LEVELS),
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
