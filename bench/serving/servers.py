"""Every server that can be measured: how it is started, what it speaks, under which loads it is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.serving import model, payloads

ROOT: Final = Path(__file__).parents[2]
PEERS: Final = Path(__file__).parent / "peers"
BUSY: Final = "busy"
"""32 callers, each sends again when answered."""
IDLE: Final = "idle"
"""One caller: the latency of a server that has nothing else to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a start may depend on."""

    python: str
    port: int
    """Where the measured protocol must be spoken."""
    spare_ports: tuple[int, int]
    """For what cannot be switched off."""
    folder: Path
    """Of this start alone, for configuration files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One row of the table."""

    title: str
    kind: str
    command: Callable[[Place], list[str]]
    peer: str = ""
    """Name of the lock in peers/ with its environment; "" = the project's own."""
    loads: tuple[str, ...] = (BUSY, IDLE)
    slow: bool = False
    """Answers take so long that a short turn would measure its edges."""
    environment: Mapping[str, str] = field(default_factory=dict)


def _bare(*options: str) -> Callable[[Place], list[str]]:
    return lambda place: [place.python, "-m", "bench.serving.bare", str(place.port), *options]


def _atheria(api: str, *options: str, http: bool = False) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        grpc_port, http_port = (
            (place.spare_ports[0], place.port) if http else (place.port, place.spare_ports[0])
        )
        return [
            *(place.python, "-m", "atheria_server", "serve", f"python://bench.serving.atheria_models:{api}"),
            *("--name", model.NAME, "--host", "127.0.0.1"),
            *("--grpc-port", str(grpc_port), "--http-port", str(http_port), "--drain-delay", "0"),
            *(
                "--max-batch-size",
                str(model.MAX_BATCH),
                "--max-latency",
                f"{model.WINDOW_SECONDS * 1000:g}ms",
            ),
            *options,
        ]

    return command


def _litserve(*, http: bool) -> Callable[[Place], list[str]]:
    def command(place: Place) -> list[str]:
        ports = (place.port, place.spare_ports[0]) if http else (place.spare_ports[0], place.port)
        return [place.python, str(PEERS / "litserve_model.py"), *(str(port) for port in ports)]

    return command


def _mlserver(workers: int) -> Callable[[Place], list[str]]:
    return lambda place: [
        *(place.python, str(PEERS / "mlserver_model.py"), str(place.folder), str(place.port)),
        *(*(str(port) for port in place.spare_ports), str(workers)),
    ]


def _bentoml(place: Place) -> list[str]:
    service = "bench.serving.peers.bentoml_service:Served"
    return [
        *(place.python, "-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", str(place.port))
    ]


BARE: Final = "bare"
BARE_IDLE: Final = "bare-idle"
SERVERS: Final[Mapping[str, Server]] = {
    BARE: Server(title="bare grpc.aio with a batcher", kind=payloads.GRPC, command=_bare(), loads=(BUSY,)),
    BARE_IDLE: Server(
        title="bare grpc.aio, no wait for a fuller batch",
        kind=payloads.GRPC,
        command=_bare("--window-seconds", "0"),
        loads=(IDLE,),
    ),
    "bare-asyncio": Server(
        title="bare grpc.aio with a batcher, asyncio's own loop",
        kind=payloads.GRPC,
        command=_bare("--asyncio"),
        loads=(BUSY,),
    ),
    "bare-echo": Server(
        title="bare grpc.aio, no model", kind=payloads.ECHO, command=_bare("--echo"), loads=(BUSY, IDLE)
    ),
    "atheria": Server(title="Atheria, gRPC", kind=payloads.GRPC, command=_atheria("DescribedApi")),
    "atheria-litapi": Server(
        title="Atheria, gRPC, a plain LitAPI", kind=payloads.GRPC, command=_atheria("PlainApi")
    ),
    "atheria-rest": Server(
        title="Atheria, REST binary", kind=payloads.REST_BINARY, command=_atheria("DescribedApi", http=True)
    ),
    "atheria-json": Server(
        title="Atheria, REST JSON",
        kind=payloads.REST_JSON,
        slow=True,
        command=_atheria("DescribedApi", http=True),
    ),
    "litserve-queues": Server(
        title="LitServe's queues behind gRPC",
        kind=payloads.GRPC,
        command=_litserve(http=False),
        peer="litserve",
    ),
    "litserve-json": Server(
        title="LitServe, HTTP JSON",
        kind=payloads.REST_JSON,
        slow=True,
        command=_litserve(http=True),
        peer="litserve",
    ),
    "mlserver": Server(
        title="MLServer gRPC, parallel_workers=0", kind=payloads.GRPC, command=_mlserver(0), peer="mlserver"
    ),
    "mlserver-workers": Server(
        title="MLServer gRPC, parallel_workers=1 (default)",
        kind=payloads.GRPC,
        command=_mlserver(1),
        peer="mlserver",
    ),
    "bentoml-json": Server(
        title="BentoML, HTTP JSON",
        kind=payloads.BENTO_JSON,
        slow=True,
        command=_bentoml,
        peer="bentoml",
        environment={"BENTOML_DO_NOT_TRACK": "True"},
    ),
}
