"""Where calls go: an address that was given, or the cluster's gateway through kubectl. Called by `infer`, `stream`, `bench`, `demo`."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from atheria_cli.errors import CommandError, ExitCode
from atheria_cli.kubectl import KubectlCommand
from atheria_contract import names

FORWARD_SECONDS: Final = 20.0
"""Until kubectl port-forward listens."""
_SELECTOR: Final = f"{names.LABEL_PART_OF}=atheria,{names.LABEL_COMPONENT}=gateway"
_FORWARDING: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """What the command line said of it."""

    model: str
    namespace: str
    """Empty = that of the kubectl context."""
    address: str = ""
    """host:port for gRPC; empty = the cluster's gateway through kubectl port-forward."""
    api_key_file: Path | None = None
    ca_file: Path | None = None
    """Authority of the gateway's certificate: calls go over TLS."""
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Ready for a client of the Open Inference Protocol."""

    address: str
    model: str
    headers: dict[str, str]
    tls: dict[str, str]
    """Arguments of the client for its TLS files; empty = plain text."""


@contextmanager
def connect(cluster: KubectlCommand, destination: Destination) -> Iterator[Connection]:
    """The connection for as long as the block runs. Raises CommandError: NOT_FOUND for files, UNREACHABLE without a gateway."""
    headers = {names.HEADER_MODEL: names.model_key(_namespace(cluster, destination), destination.model)}
    if destination.api_key_file:
        headers["authorization"] = f"Bearer {_key(destination.api_key_file)}"
    tls = _tls(destination)
    if destination.address:
        yield _connection(_checked(destination.address), destination, headers, tls)
        return
    with forwarded(cluster) as address:
        yield _connection(address, destination, headers, tls)


def _connection(
    address: str, destination: Destination, headers: dict[str, str], tls: dict[str, str]
) -> Connection:
    return Connection(address=address, model=destination.model, headers=headers, tls=tls)


def _checked(address: str) -> str:
    host, colon, port = address.rpartition(":")
    if "://" in address:
        raise CommandError(
            f"--address is {address!r}; expected host:port of gRPC without a scheme, e.g. 127.0.0.1:8001; --ca asks for TLS",
            ExitCode.USAGE,
        )
    if not (colon and host and port.isdigit() and 0 < int(port) < 65536):
        raise CommandError(
            f"--address is {address!r}; expected host:port, e.g. 127.0.0.1:8001", ExitCode.USAGE
        )
    return address


def _namespace(cluster: KubectlCommand, destination: Destination) -> str:
    if destination.namespace:
        return destination.namespace
    try:
        found = cluster.kubectl("config", "view", "--minify", "-o", "jsonpath={..namespace}").strip()
    except CommandError:
        if not destination.address:
            raise
        found = ""  # Without a cluster at hand the address alone has to do.
    return found or "default"


def _tls(destination: Destination) -> dict[str, str]:
    given = {
        "root_certificates": destination.ca_file,
        "certificate_chain": destination.certificate_file,
        "private_key": destination.key_file,
    }
    if (destination.certificate_file is None) != (destination.key_file is None):
        raise CommandError("--cert and --key belong together: give both, or neither", ExitCode.USAGE)
    if destination.certificate_file and not destination.ca_file:
        raise CommandError("--cert needs --ca, the authority of the gateway's certificate", ExitCode.USAGE)
    for path in given.values():
        if path is not None:
            _read(path)
    return {name: str(path) for name, path in given.items() if path is not None}


def _key(path: Path) -> str:
    key = _read(path).strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise CommandError(
            f"--api-key-file {path} is no key: expected one line without spaces", ExitCode.USAGE
        )
    return key


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not text: expected PEM or a key", ExitCode.USAGE) from error
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}", ExitCode.NOT_FOUND) from error


def _gateway_service(cluster: KubectlCommand) -> tuple[str, str]:
    """Namespace and name of the gateway's Service."""
    text = cluster.kubectl("get", "services", "--all-namespaces", "-l", _SELECTOR, "-o", "json")
    services: list[dict[str, Any]] = [
        service
        for service in json.loads(text)["items"]
        if any(port.get("port") == names.PORT_GRPC for port in service["spec"].get("ports") or ())
    ]
    if not services:
        raise CommandError(
            "the cluster has no gateway of Atheria (Service with port 8001): helm install atheria, or give --address host:port",
            ExitCode.UNREACHABLE,
        )
    metadata = services[0]["metadata"]
    return metadata["namespace"], metadata["name"]


@contextmanager
def forwarded(cluster: KubectlCommand) -> Iterator[str]:
    """`host:port` of the gateway's gRPC on this machine for as long as the block runs. Raises CommandError (UNREACHABLE)."""
    namespace, name = _gateway_service(cluster)
    command = [*cluster.command("kubectl"), "port-forward", "-n", namespace]
    with subprocess.Popen(
        [*command, f"service/{name}", f":{names.PORT_GRPC}"],
        env=cluster.full_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        lines: queue.Queue[str | None] = queue.Queue()
        reader = threading.Thread(
            target=_drain, args=(process.stdout, lines), name="port-forward", daemon=True
        )
        reader.start()
        try:
            yield _listening(lines)
        finally:
            process.kill()
            reader.join(timeout=5)


def _drain(stream: IO[str] | None, lines: queue.Queue[str | None]) -> None:
    """To the end, so that kubectl never waits for a reader."""
    for line in stream or ():
        lines.put(line)
    lines.put(None)


def _listening(lines: queue.Queue[str | None]) -> str:
    said: list[str] = []
    while True:
        try:
            line = lines.get(timeout=FORWARD_SECONDS)
        except queue.Empty:
            line = None
        if line is None:
            raise CommandError(
                f"kubectl port-forward to the gateway failed: {' '.join(said).strip() or 'it said nothing in time'}; "
                "give --address host:port where the gateway is reachable",
                ExitCode.UNREACHABLE,
            )
        if found := _FORWARDING.search(line):
            return f"127.0.0.1:{found.group(1)}"
        said.append(line)
