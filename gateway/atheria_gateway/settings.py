"""The gateway's settings, read once from the environment at start by __main__."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from atheria_contract import names

ENV_RUN_DIRECTORY: Final = "ATHERIA_RUN_DIRECTORY"
ENV_HOLD_SECONDS: Final = "ATHERIA_HOLD_SECONDS"
ENV_HOLD_LIMIT: Final = "ATHERIA_HOLD_LIMIT"
ENV_DRAIN_SECONDS: Final = "ATHERIA_DRAIN_SECONDS"
ENV_METRICS_PORT: Final = "ATHERIA_METRICS_PORT"
ENV_LOG_LEVEL: Final = "ATHERIA_LOG_LEVEL"
TOKEN_FILE: Final = "not-started.token"  # noqa: S105 - a file name


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a gateway process is told from outside."""

    run_directory: str = "/run/atheria"
    """Folder shared with Envoy: activator.sock, hold.sock, admin.sock and the token file."""
    pod_name: str = "gateway"
    pod_namespace: str = "atheria-system"
    demand_target: str = ""
    """host:port of the operator's demand sink; empty sends no reports."""
    hold_s: float = 300.0
    """Longest time that a call is held."""
    hold_limit: int = 1024
    """Calls held at once over all models; a large one takes 0.9 MiB in Envoy, so this decides over its memory limit."""
    drain_s: float = 30.0
    """Longest time that held calls are still served after SIGTERM."""
    wake_retry_s: float = 2.0
    metrics_port: int = names.PORT_METRICS
    log_level: str = "INFO"

    @property
    def activator_socket(self) -> str:
        """Where ADS and checks are served."""
        return f"{self.run_directory}/activator.sock"

    @property
    def hold_socket(self) -> str:
        """Where Envoy's hold listener listens."""
        return f"{self.run_directory}/hold.sock"

    @property
    def admin_socket(self) -> str:
        """Where Envoy's admin interface listens."""
        return f"{self.run_directory}/admin.sock"

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
        demand_target=environment.get(names.ENV_DEMAND_TARGET) or "",
        hold_s=_number(environment, ENV_HOLD_SECONDS, defaults.hold_s, 1, 3500),
        hold_limit=int(_number(environment, ENV_HOLD_LIMIT, defaults.hold_limit, 1, 1_000_000)),
        drain_s=_number(environment, ENV_DRAIN_SECONDS, defaults.drain_s, 0, 3600),
        metrics_port=int(_number(environment, ENV_METRICS_PORT, defaults.metrics_port, 1, 65535)),
        log_level=environment.get(ENV_LOG_LEVEL) or defaults.log_level,
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
