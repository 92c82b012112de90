"""The gateway's settings, read once from the environment at start by __main__."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from atheria_contract import names
from atheria_contract.json_log import TEXT, log_format
from atheria_gateway.collector import collector_of
from atheria_gateway.xds.access_log import AccessLog
from atheria_gateway.xds.run_directory import RunDirectory
from atheria_gateway.xds.tls import TlsFiles
from atheria_gateway.xds.tracing import Collector

ENV_NAMESPACES: Final = "ATHERIA_NAMESPACES"
ENV_RUN_DIRECTORY: Final = "ATHERIA_RUN_DIRECTORY"
ENV_HOLD_SECONDS: Final = "ATHERIA_HOLD_SECONDS"
ENV_HOLD_LIMIT: Final = "ATHERIA_HOLD_LIMIT"
ENV_HOLD_BYTES: Final = "ATHERIA_HOLD_BYTES"
ENV_HOLD_CALLER_SHARE: Final = "ATHERIA_HOLD_CALLER_SHARE"
ENV_ENVOY_MEMORY_BYTES: Final = "ATHERIA_ENVOY_MEMORY_BYTES"
ENV_TLS_CERT_FILE: Final = names.ENV_TLS_CERT_FILE
ENV_TLS_KEY_FILE: Final = names.ENV_TLS_KEY_FILE
ENV_TLS_CLIENT_CA_FILE: Final = names.ENV_TLS_CLIENT_CA_FILE
ENV_API_KEYS_FILE: Final = "ATHERIA_API_KEYS_FILE"
ENV_FORWARD_KEYS: Final = "ATHERIA_FORWARD_KEYS"
ENV_CORS_ORIGINS: Final = "ATHERIA_CORS_ORIGINS"
ENV_LIVE_PAGE: Final = "ATHERIA_LIVE_PAGE"
ENV_ACCESS_LOG: Final = "ATHERIA_ACCESS_LOG"
ENV_DRAIN_SECONDS: Final = "ATHERIA_DRAIN_SECONDS"
ENV_METRICS_PORT: Final = "ATHERIA_METRICS_PORT"
ENV_LOG_LEVEL: Final = "ATHERIA_LOG_LEVEL"
DEFAULT_HOLD_BYTES: Final = 512 * 1024 * 1024
"""Half of the chart's memory limit for Envoy."""
TOKEN_FILE: Final = "not-started.token"  # noqa: S105 - a file name


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(RunDirectory):
    """What a gateway process is told from outside."""

    run_directory: str = "/run/atheria"
    """Folder shared with Envoy: activator.sock, hold.sock, admin.sock and the token file."""
    pod_name: str = "gateway"
    pod_namespace: str = "atheria-system"
    namespaces: tuple[str, ...] = ()
    """Namespaces whose models are served; empty = all of the cluster."""
    demand_target: str = ""
    """host:port of the operator's demand sink; empty sends no reports."""
    hold_s: float = 300.0
    """Longest time that a call is held."""
    hold_limit: int = 10_000
    """Calls held at once over all models."""
    hold_bytes: int = DEFAULT_HOLD_BYTES
    """What held calls may take in Envoy; a large one takes up to 0.9 MiB."""
    hold_caller_share: float = 0.5
    """Part of a model's and of the gateway's places that one caller may have; 1 = all."""
    envoy_memory_bytes: int = 0
    """Memory limit of Envoy's container, near which it refuses and resets calls rather than being killed; 0 = unknown."""
    tls: TlsFiles | None = None
    """Certificates of both ports; None = plain text."""
    pod_tls: TlsFiles | None = None
    """What is shown to model pods that ask for it, and the authority of theirs; None = calls to pods are plain text."""
    api_keys_file: str = ""
    """Digests of the callers' keys, one `sha256:<hex>` a line; empty = no key is asked for."""
    forwards_keys: bool = False
    """Pods see the callers' keys: for model servers that ask for them again."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call from browsers."""
    has_live_page: bool = False
    """The page that shows the models, and streams of them, is served to all who reach the ports."""
    access_log: AccessLog = AccessLog.PROBLEMS
    drain_s: float = 30.0
    """So long after SIGTERM calls are still held and let go; those that wait then are handed back."""
    hand_back_s: float = 6.0
    """So long after that every call that asks to be held is handed back; in the chart Envoy ends within it, so none asks in vain."""
    wake_retry_s: float = 2.0
    standby_key_file: str = ""
    """The key from which the tokens of models in standby follow; empty = none is woken by this gateway."""
    metrics_port: int = names.PORT_METRICS
    metrics_address: str = ""
    """Where metrics are shown; empty = on all addresses."""
    log_level: str = "INFO"
    log_format: str = TEXT
    collector: Collector | None = None
    """Where Envoy sends its spans, without what is mounted for it as a Secret; None = there are no spans."""
    tracing_secret: str = ""
    """Folder of that Secret; empty = there is none."""

    @property
    def token_file(self) -> str:
        """Where `bootstrap` leaves the secret that both listeners share."""
        return f"{self.run_directory}/{TOKEN_FILE}"


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read settings; ValueError names the variable, its value, what is allowed and what to do."""
    defaults = Settings()
    return Settings(
        run_directory=environment.get(ENV_RUN_DIRECTORY) or defaults.run_directory,
        pod_name=environment.get(names.ENV_POD_NAME) or defaults.pod_name,
        pod_namespace=environment.get(names.ENV_POD_NAMESPACE) or defaults.pod_namespace,
        namespaces=tuple(
            sorted({part.strip() for part in environment.get(ENV_NAMESPACES, "").split(",")} - {""})
        ),
        demand_target=environment.get(names.ENV_DEMAND_TARGET) or "",
        hold_s=_number(environment, ENV_HOLD_SECONDS, defaults.hold_s, 1, 3500),
        hold_bytes=int(_number(environment, ENV_HOLD_BYTES, _half(environment), 1024 * 1024, 2**50)),
        hold_caller_share=_number(environment, ENV_HOLD_CALLER_SHARE, defaults.hold_caller_share, 0.01, 1),
        envoy_memory_bytes=int(_number(environment, ENV_ENVOY_MEMORY_BYTES, 0, 64 * 1024 * 1024, 2**50)),
        tls=_tls(environment),
        pod_tls=_pod_tls(environment),
        api_keys_file=environment.get(ENV_API_KEYS_FILE) or "",
        forwards_keys=_choice(environment, ENV_FORWARD_KEYS, "off", ("on", "off")) == "on",
        cors_origins=_origins(environment),
        has_live_page=_choice(environment, ENV_LIVE_PAGE, "off", ("on", "off")) == "on",
        access_log=AccessLog(
            _choice(environment, ENV_ACCESS_LOG, defaults.access_log, tuple(one.value for one in AccessLog))
        ),
        hold_limit=int(_number(environment, ENV_HOLD_LIMIT, defaults.hold_limit, 1, 1_000_000)),
        drain_s=_number(environment, ENV_DRAIN_SECONDS, defaults.drain_s, 0, 3600),
        standby_key_file=environment.get(names.ENV_STANDBY_KEY_FILE) or "",
        metrics_port=int(_number(environment, ENV_METRICS_PORT, defaults.metrics_port, 1, 65535)),
        log_level=environment.get(ENV_LOG_LEVEL) or defaults.log_level,
        log_format=log_format(environment),
        collector=collector_of(environment),
        tracing_secret=environment.get(names.ENV_TRACING_SECRET) or "",
    )


def _number(environment: Mapping[str, str], key: str, default: float, low: float, high: float) -> float:
    text = environment.get(key)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ValueError(
            f"{key} is {text!r}, allowed is a number from {low:g} to {high:g}: change it or leave it out"
        )
    return value


def _half(environment: Mapping[str, str]) -> float:
    """Half of Envoy's memory limit where it is known: the rest is for warm calls and for Envoy itself."""
    memory = _number(environment, ENV_ENVOY_MEMORY_BYTES, 0, 64 * 1024 * 1024, 2**50)
    return memory / 2 if memory else DEFAULT_HOLD_BYTES


def _choice(environment: Mapping[str, str], key: str, default: str, allowed: tuple[str, ...]) -> str:
    value = environment.get(key) or default
    if value not in allowed:
        raise ValueError(
            f"{key} is {value!r}, allowed is one of {', '.join(allowed)}: change it or leave it out"
        )
    return value


def _tls(environment: Mapping[str, str]) -> TlsFiles | None:
    certificate, key = environment.get(ENV_TLS_CERT_FILE) or "", environment.get(ENV_TLS_KEY_FILE) or ""
    authority = environment.get(ENV_TLS_CLIENT_CA_FILE) or ""
    if not (certificate or key or authority):
        return None
    for name, value in ((ENV_TLS_CERT_FILE, certificate), (ENV_TLS_KEY_FILE, key)):
        if not value:
            raise ValueError(
                f"{name} is not set, but TLS is asked for: name the PEM file, or leave all of TLS out"
            )
    return TlsFiles(certificate=certificate, key=key, client_authority=authority)


def _pod_tls(environment: Mapping[str, str]) -> TlsFiles | None:
    directory = environment.get(names.ENV_POD_TLS_DIRECTORY) or ""
    return TlsFiles.mounted(directory) if directory else None


def _origins(environment: Mapping[str, str]) -> tuple[str, ...]:
    found = tuple(one.strip() for one in (environment.get(ENV_CORS_ORIGINS) or "").split(",") if one.strip())
    for origin in found:
        if origin != "*" and not origin.startswith(("http://", "https://")):
            raise ValueError(
                f"{ENV_CORS_ORIGINS} has {origin!r}, allowed are http://HOST[:PORT], https://HOST[:PORT] and *: write the "
                "scheme too"
            )
    return found
