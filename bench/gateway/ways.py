"""The ways to the pod that are measured, as processes: directly, by an Envoy with nothing in it, and by the gateway."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atheria_gateway.__main__ import write_bootstrap
from atheria_gateway.settings import Settings
from atheria_local.free_ports import free_port
from bench.installation import program
from bench.serving.processes import ServerProcess

DIRECT: Final = "direct"
PLAIN: Final = "bare Envoy"
GATEWAY: Final = "gateway"
_ROOT: Final = Path(__file__).parents[2]
_TYPE: Final = "type.googleapis.com/envoy."
_HTTP: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to the pod."""

    target: str
    """host:port"""
    tokens: tuple[str, ...]
    """Of the processes between caller and pod, for their processor time."""


@contextmanager
def running(
    folder: Path, concurrency: int, compute_milliseconds: float
) -> Iterator[tuple[dict[str, Way], ServerProcess]]:
    """The ways by name, and the pod, which computes for so long; all processes end with the context.

    Envoys run with `concurrency` threads.
    """
    with ExitStack() as stack:

        def start(name: str, *command: str) -> ServerProcess:
            process = ServerProcess(command, folder / f"{name}.log", {}, _ROOT)
            return stack.enter_context(process)

        pod, plain, port = free_port(), free_port(), free_port()
        pod_process = start(
            "pod", sys.executable, "-m", "bench.gateway.echo", str(pod), str(compute_milliseconds)
        )
        (folder / "plain.json").write_text(json.dumps(_plain(plain, pod)), encoding="utf-8")
        run_directory = folder / "run"
        settings = Settings(run_directory=str(run_directory))
        bootstrap = write_bootstrap(
            run_directory, settings, listen_address="127.0.0.1", ports=(port, free_port())
        )
        shared = ("--concurrency", str(concurrency), "-l", "warning", "--disable-hot-restart")
        plain_process = start("plain", program("envoy"), "-c", str(folder / "plain.json"), *shared)
        envoy = start("envoy", program("envoy"), "-c", str(bootstrap), *shared)
        activator = start(
            "activator", sys.executable, "-m", "bench.gateway.activator", str(run_directory), str(pod)
        )
        yield (
            {
                DIRECT: Way(target=f"127.0.0.1:{pod}", tokens=()),
                PLAIN: Way(target=f"127.0.0.1:{plain}", tokens=(plain_process.token,)),
                GATEWAY: Way(target=f"127.0.0.1:{port}", tokens=(envoy.token, activator.token)),
            },
            pod_process,
        )


def _plain(port: int, pod: int) -> dict[str, Any]:
    """Envoy's configuration: one listener, one route, one cluster, all else as it comes."""
    manager = {
        "@type": _TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "pod", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _TYPE + "extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    http2 = {
        "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "name": "plain",
                    "address": _address(port),
                    "filter_chains": [
                        {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "pod",
                    "type": "STATIC",
                    "typed_extension_protocol_options": {_HTTP: http2},
                    "load_assignment": {
                        "cluster_name": "pod",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(pod)}}]}],
                    },
                }
            ],
        }
    }  # fmt: skip


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
