"""What differs between the bootstraps of gateways; __main__ makes it from the settings."""

from __future__ import annotations

from dataclasses import dataclass

from atheria_contract import names
from atheria_gateway.xds.access_log import AccessLog
from atheria_gateway.xds.run_directory import RunDirectory
from atheria_gateway.xds.tls import TlsFiles
from atheria_gateway.xds.tracing import Collector


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapOptions(RunDirectory):
    """What differs between gateways."""

    node_id: str
    not_started_token: str
    listen_address: str = "0.0.0.0"
    grpc_port: int = names.PORT_GRPC
    http_port: int = names.PORT_HTTP
    health_port: int = names.PORT_GATEWAY_HEALTH
    """Plain /healthz for probes, which show no certificate; only with `tls`."""
    directory: str = "/etc/envoy"
    """Folder of the bootstrap and of the files that SDS reads."""
    tls: TlsFiles | None = None
    """Certificates of both data ports; None = plain text."""
    api_keys_file: str = ""
    """Digests of the callers' keys; empty = no key is asked for."""
    forwards_key: bool = False
    """Pods see the callers' keys."""
    has_live_page: bool = False
    """The live page is served."""
    access_log: AccessLog = AccessLog.PROBLEMS
    is_json_log: bool = False
    """Envoy writes its own log, too, as one JSON object a line."""
    collector: Collector | None = None
    """Where Envoy sends its spans; None = it makes none."""
    memory_bytes: int = 0
    """Envoy's memory limit: shortly before it, new calls are refused and then the largest ones reset; 0 = unknown."""
