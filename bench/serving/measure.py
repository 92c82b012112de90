"""Starts servers, puts loads on them from the client's process, and turns what the client saw into numbers."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from atheria_local.free_ports import free_port
from bench.serving.client import Load
from bench.serving.processes import ONE_THREAD, ServerProcess
from bench.serving.servers import ROOT, Place, Server
from bench.serving.verdict import quantile

CLIENT_SPARE_SECONDS: Final = 180.0
PYTHONPATH: Final = f"{ROOT}:{ROOT / 'contract'}"


class MeasurementError(Exception):
    """No number: the message says why, and holds the end of the server's output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One server under one load in one round."""

    calls_per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_ms_per_call: float
    client_cpu_ms_per_call: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A started server, and what a Load needs to know of it."""

    process: ServerProcess
    server: Server
    target: str

    def load(self, seconds: float, **options: Any) -> Load:
        """A load for this server."""
        return Load(
            target=self.target,
            kind=self.server.kind,
            token=self.process.token,
            pid=self.process.pid,
            seconds=seconds,
            **options,
        )


@contextmanager
def running(
    name: str, server: Server, python: str, logs: Path, tree: Path, *options: str
) -> Iterator[Running]:
    """The server's processes; whether it answers is the client's to find out. `tree` = checkout whose Atheria is measured."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        ports = (free_port(), free_port(), free_port())
        place = Place(python=python, port=ports[0], spare_ports=ports[1:], folder=Path(folder))
        environment = {
            "PYTHONPATH": f"{tree / 'server'}:{tree / 'contract'}:{ROOT}",
            "PYTHONUNBUFFERED": "1",
            **server.environment,
        }
        command = [*server.command(place), *options]
        with ServerProcess(command, logs / f"{name}.log", environment, ROOT) as process:
            yield Running(process=process, server=server, target=f"127.0.0.1:{place.port}")


class ClientProcess:
    """The process that makes the calls; one for all servers of a run."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.serving.client"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": PYTHONPATH, "PATH": "/usr/bin:/bin", **ONE_THREAD},
            cwd=ROOT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)

    def drive(self, running: Running, load: Load) -> dict[str, Any]:
        """What the client saw (see client.Seen). Raises MeasurementError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(load)).encode() + b"\n")
        self._process.stdin.flush()
        limit = load.ready_seconds + load.warmup_seconds + load.seconds + CLIENT_SPARE_SECONDS
        readable, _, _ = select.select([self._process.stdout], [], [], limit)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            raise SystemExit(f"the benchmark's own client ended, or took more than {limit:g} s; see above")
        seen: dict[str, Any] = json.loads(line)
        if reason := seen.get("failed") or (f"a wrong answer: {seen['wrong']}" if seen["wrong"] else ""):
            raise MeasurementError(f"{reason}\n{running.process.last_lines()}")
        return seen


def summarise(slices: Sequence[dict[str, Any]]) -> Measured:
    """The numbers of a closed loop, all slices of a round together.

    Raises MeasurementError if any call was refused, or none was answered.
    """
    for seen in slices:
        if seen["refusals"]:
            raise MeasurementError(
                f"calls were refused: {seen['refusals']}, such as {seen['refusal_examples']}"
            )
    calls = sum(seen["answered"] for seen in slices)
    if not calls:
        raise MeasurementError("no call was answered in the measured time")
    latencies = [latency for seen in slices for latency in seen["latency_seconds"]]
    return Measured(
        calls_per_second=calls / sum(seen["seconds"] for seen in slices),
        p50_ms=quantile(latencies, 0.5) * 1e3,
        p99_ms=quantile(latencies, 0.99) * 1e3,
        server_cpu_ms_per_call=sum(seen["server_cpu_seconds"] for seen in slices) / calls * 1e3,
        client_cpu_ms_per_call=sum(seen["client_cpu_seconds"] for seen in slices) / calls * 1e3,
    )
