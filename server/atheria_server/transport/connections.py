"""How long gRPC connections live and how dead ones are noticed; pure, read once at start by `app`.

A connection to one pod outlives every scaling of the model: clients that connect without the gateway would never see
a new pod. So the server ends a connection after a while: it announces it, the client opens another one (and asks for
addresses again), and calls that run on the old one end there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from atheria_server.core.errors import StartError

ENV_AGE: Final = "ATHERIA_GRPC_CONNECTION_AGE_SECONDS"
ENV_GRACE: Final = "ATHERIA_GRPC_CONNECTION_GRACE_SECONDS"
MAX_SECONDS: Final = 86400.0
CLIENT_PING_SECONDS: Final = 10.0
"""Clients may ask this often whether the server still lives, also without a call; more often is a protocol error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Seconds throughout."""

    max_age: float = 1800.0
    """gRPC spreads it by 10 % so that not all clients come back at once."""
    grace: float = 3600.0
    """Calls that still run so long after the age are ended with UNAVAILABLE."""
    ping_interval: float = 60.0
    """A connection without traffic is asked this often, so that clients that vanished free their calls' places."""
    ping_timeout: float = 20.0

    def options(self) -> list[tuple[str, int]]:
        """As grpc's channel arguments."""
        return [
            ("grpc.max_connection_age_ms", round(self.max_age * 1000)),
            ("grpc.max_connection_age_grace_ms", round(self.grace * 1000)),
            ("grpc.keepalive_time_ms", round(self.ping_interval * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.ping_timeout * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", round(CLIENT_PING_SECONDS * 1000)),
        ]


def connection_settings(environment: Mapping[str, str]) -> ConnectionSettings:
    """The defaults, or what the environment says instead. Raises StartError."""
    default = ConnectionSettings()
    return ConnectionSettings(
        max_age=_seconds(environment, ENV_AGE, default.max_age),
        grace=_seconds(environment, ENV_GRACE, default.grace),
    )


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.1 <= value <= MAX_SECONDS:
        raise StartError(f"{name} is {text!r}; expected seconds from 0.1 to {MAX_SECONDS:g}, such as 1800")
    return value
