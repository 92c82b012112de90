"""`atheria-gateway`: `run` (the activator, the default) and `bootstrap` (renders Envoy's configuration)."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import secrets
import sys
from dataclasses import replace
from pathlib import Path

from atheria_contract import names
from atheria_contract.json_log import JSON, configure_log
from atheria_contract.trace_export import TraceExportError, read_collector_secret
from atheria_gateway.settings import Settings, settings_from
from atheria_gateway.xds.bootstrap import build_bootstrap
from atheria_gateway.xds.bootstrap_options import BootstrapOptions
from atheria_gateway.xds.tls import pod_secrets
from atheria_gateway.xds.tls import secrets as tls_secrets
from atheria_gateway.xds.tracing import Collector

_LOG = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 failed, 2 wrong settings."""
    parser = argparse.ArgumentParser(prog="atheria-gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    run = commands.add_parser("run", help="hold calls, serve ADS to Envoy, wake models (the default)")
    run.add_argument(
        "--kubeconfig", default=os.environ.get("KUBECONFIG"), help="outside a cluster: path of a kubeconfig"
    )
    bootstrap = commands.add_parser("bootstrap", help="write Envoy's bootstrap.yaml and the shared secret")
    bootstrap.add_argument("--out", default="/etc/envoy", type=Path, help="folder for bootstrap.yaml")
    bootstrap.add_argument("--listen-address", default="0.0.0.0", help="address of both ports")
    bootstrap.add_argument("--grpc-port", default=names.PORT_GRPC, type=int)
    bootstrap.add_argument("--http-port", default=names.PORT_HTTP, type=int)
    bootstrap.add_argument(
        "--health-port", default=names.PORT_GATEWAY_HEALTH, type=int, help="plain /healthz, only with TLS"
    )
    chosen = parser.parse_args(arguments if arguments is not None else sys.argv[1:])
    try:
        settings = settings_from(os.environ)
    except ValueError as error:
        parser.exit(2, f"atheria-gateway: {error}\n")
    configure_log(settings.log_level, settings.log_format)
    if chosen.command == "bootstrap":
        write_bootstrap(
            chosen.out,
            settings,
            listen_address=chosen.listen_address,
            ports=(chosen.grpc_port, chosen.http_port),
            health_port=chosen.health_port,
        )
        return 0
    kubeconfig = getattr(chosen, "kubeconfig", os.environ.get("KUBECONFIG"))
    try:
        asyncio.run(_run(settings, kubeconfig))
    except (OSError, TraceExportError) as error:
        _LOG.error("the gateway cannot start: %s", error)
        return 1
    return 0


def write_bootstrap(
    out: Path,
    settings: Settings,
    *,
    listen_address: str = "0.0.0.0",
    ports: tuple[int, int] | None = None,
    health_port: int = names.PORT_GATEWAY_HEALTH,
) -> Path:
    """Write `out`/bootstrap.yaml and, once, the secret beside the sockets; returns the file. `ports` are (grpc, http)."""
    token_file = Path(settings.token_file)
    token_file.parent.mkdir(parents=True, exist_ok=True)
    if not token_file.exists():
        token_file.write_text(secrets.token_hex(16), encoding="utf-8")
        token_file.chmod(0o600)
    grpc_port, http_port = ports or (names.PORT_GRPC, names.PORT_HTTP)
    options = BootstrapOptions(
        node_id=settings.pod_name,
        run_directory=settings.run_directory,
        not_started_token=token_file.read_text(encoding="utf-8").strip(),
        listen_address=listen_address,
        grpc_port=grpc_port,
        http_port=http_port,
        health_port=health_port,
        directory=str(out),
        tls=settings.tls,
        api_keys_file=settings.api_keys_file,
        forwards_key=settings.forwards_keys,
        has_live_page=settings.has_live_page,
        access_log=settings.access_log,
        is_json_log=settings.log_format == JSON,
        collector=_with_secret(settings.collector, settings.tracing_secret),
        memory_bytes=settings.envoy_memory_bytes,
    )
    out.mkdir(parents=True, exist_ok=True)
    for name, content in (tls_secrets(settings.tls) if settings.tls else {}).items():
        (out / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for name, content in (pod_secrets(settings.pod_tls) if settings.pod_tls else {}).items():
        # Not beside the bootstrap: the activator names these files to Envoy, and both know this folder.
        (token_file.parent / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    file = out / "bootstrap.yaml"
    file.write_text(json.dumps(build_bootstrap(options), indent=2) + "\n", encoding="utf-8")
    _LOG.info("wrote %s", file)
    return file


def _with_secret(collector: Collector | None, folder: str) -> Collector | None:
    """With the headers and the authority that are mounted for it. TraceExportError where they cannot be used."""
    if collector is None:
        return None
    secret = read_collector_secret(folder)
    return replace(collector, headers=tuple(secret.headers.items()), authority_file=secret.authority_file)


async def _run(settings: Settings, kubeconfig: str | None) -> None:
    # Imported here: `bootstrap` runs in every pod start and needs no Kubernetes client.
    from atheria_gateway.adapters.kube import Kube, connect
    from atheria_gateway.app import run

    kube = Kube(
        await connect(kubeconfig), pod_namespace=settings.pod_namespace, namespaces=settings.namespaces
    )
    try:
        await run(settings, kube, os.environ)
    finally:
        await kube.close()


if __name__ == "__main__":
    sys.exit(main())
