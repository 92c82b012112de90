"""Composition root: builds the parts, runs them in one event loop, and ends them in order.

Called by `__main__` after the worker process has been started.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import uvicorn

from atheria_contract.serving import ServingConfig
from atheria_server.core.batching import BatchPolicy
from atheria_server.core.errors import StartError
from atheria_server.engine.calls import Call
from atheria_server.engine.engine import Engine, EngineLimits
from atheria_server.engine.process import WorkerProcess
from atheria_server.engine.service import ModelService
from atheria_server.engine.start import worker_spec
from atheria_server.metrics import ServerMetrics
from atheria_server.models.registry import load_api
from atheria_server.transport.access import ENV_KEYS, ApiKeys, GrpcAccess, HttpAccess
from atheria_server.transport.connections import connection_settings
from atheria_server.transport.grpc_server import GrpcServer
from atheria_server.transport.grpc_service import InferenceServicer
from atheria_server.transport.litserve_app import AtheriaServer
from atheria_server.transport.model_info import ModelInfo
from atheria_server.transport.rest import RestRoutes

_LOG = logging.getLogger("atheria.server")
QUEUE_MESSAGES: Final = 4
"""The queue holds at most so many requests of the largest size."""
MAX_STREAMS: Final = 8
"""Streams that one worker computes at a time."""
STOP_GRACE_SECONDS: Final = 2.0


def serve(config: ServingConfig, worker: WorkerProcess, began: float) -> None:
    """Serve until a signal. `began` = time.monotonic() at the start of the process. Raises StartError."""
    try:
        api = load_api(config.source, config.parameters, config.digest)
        api.max_batch_size = min(config.max_batch_size, api.max_batch_size)
    except Exception as error:
        raise StartError(f"{type(error).__name__}: {error}") from error
    asyncio.run(_run(config, api, worker, began))


async def _run(config: ServingConfig, api: Any, worker: WorkerProcess, began: float) -> None:
    sock = _listen("HTTP", config.host, config.http_port)
    # A grpc.aio server that cannot bind leaves noise behind; ask before there is one.
    _listen("gRPC", config.host, config.grpc_port).close()
    # Built inside the loop: grpc.aio binds its objects to the running one.
    await Application(config, api, worker, began).run(sock)


class Application:
    """The parts of one server."""

    def __init__(self, config: ServingConfig, api: Any, worker: WorkerProcess, began: float) -> None:
        self._config = config
        self._began = began
        version = _version()
        self._metrics = ServerMetrics(model=config.name, version=version)
        self._engine = Engine(
            spec=worker_spec(config),
            limits=EngineLimits(
                batches=BatchPolicy(
                    max_batch_size=config.max_batch_size, max_latency_seconds=config.max_latency_seconds
                ),
                max_queue_rows=config.max_queue_depth,
                max_queue_bytes=QUEUE_MESSAGES * config.max_message_bytes,
                max_streams=MAX_STREAMS,
            ),
            events=self._metrics,
            warm_up=self._warm_up,
            workers=[worker],
        )
        self._metrics.observe(
            depth=lambda: self._engine.queue_depth,
            in_flight=lambda: self._engine.in_flight,
            ready=lambda: self._engine.ready,
        )
        self._service = ModelService(name=config.name, api=api, engine=self._engine, events=self._metrics)
        keys = _api_keys()
        info = ModelInfo(self._service, config, self._metrics.statistics)
        self._grpc = GrpcServer(
            servicer=InferenceServicer(
                self._service, server_version=version, max_message_bytes=config.max_message_bytes
            ),
            info=info,
            model=config.name,
            host=config.host,
            port=config.grpc_port,
            max_message_bytes=config.max_message_bytes,
            connections=connection_settings(os.environ),
            interceptors=[GrpcAccess(keys, self._metrics.call_rejected)] if keys else [],
        )
        self._http = AtheriaServer(api, self._service, max_message_bytes=config.max_message_bytes)
        if keys:
            self._http.app.add_middleware(HttpAccess, keys=keys, refused=self._metrics.call_rejected)
        RestRoutes(
            self._service,
            info=info,
            metrics=self._metrics.text,
            server_version=version,
            max_message_bytes=config.max_message_bytes,
        ).add_to(self._http.app)

    async def run(self, sock: socket.socket) -> None:
        """Until a signal or a failure; HTTP is served on `sock`. Raises StartError."""
        stop = _Signals()
        uvicorn_server = _Uvicorn(
            uvicorn.Config(
                self._http.app,
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="on",
                ws="websockets-sansio",
                ws_max_size=self._config.max_message_bytes,
                ws_per_message_deflate=False,  # tensors do not compress
                timeout_graceful_shutdown=int(STOP_GRACE_SECONDS),
            )
        )
        grpc_port = await self._grpc.start()
        _LOG.info(
            "event=listening model=%s grpc_port=%d http_port=%d seconds=%.3f",
            self._config.name,
            grpc_port,
            sock.getsockname()[1],
            time.monotonic() - self._began,
        )
        tasks = {
            asyncio.create_task(self._engine.run(), name="engine"),
            asyncio.create_task(uvicorn_server.serve([sock]), name="http"),
            asyncio.create_task(self._publish_ready(), name="health"),
        }
        signalled = asyncio.create_task(stop.next(), name="signal")
        try:
            done, _ = await asyncio.wait({*tasks, signalled}, return_when=asyncio.FIRST_COMPLETED)
            if signalled in done:
                await self._drain(stop)
            failures = [task.exception() for task in tasks if task.done()]
            if failures and signalled not in done:
                raise failures[0] or StartError("a part of the server ended by itself; see the log")
        finally:
            signalled.cancel()
            uvicorn_server.should_exit = True
            await asyncio.gather(self._grpc.stop(STOP_GRACE_SECONDS), self._engine.stop())
            for task in tasks:
                if task.get_name() != "http":
                    task.cancel()
            await asyncio.wait(tasks, timeout=2 * STOP_GRACE_SECONDS)
            _LOG.info("event=stopped seconds=%.3f", time.monotonic() - self._began)

    async def _drain(self, stop: _Signals) -> None:
        delay = 0.0 if stop.interrupted else self._config.drain_delay_seconds
        self._engine.drain()
        _LOG.info("event=draining in_flight=%d accepting_for_seconds=%g", self._engine.in_flight, delay)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.next(), delay)
        finishing = asyncio.create_task(self._engine.finish(self._config.drain_timeout_seconds))
        again = asyncio.create_task(stop.next())
        await asyncio.wait({finishing, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        left = finishing.result() if finishing.done() else self._engine.in_flight
        finishing.cancel()
        level = logging.WARNING if left else logging.INFO
        _LOG.log(level, "event=drained unanswered=%d", left)

    async def _warm_up(self, compute: Callable[[Call], Awaitable[Any]]) -> None:
        await self._service.warm_up(
            self._config.warmup_shapes, self._config.max_batch_size, compute, time.monotonic
        )

    async def _publish_ready(self) -> None:
        """Tell gRPC health and the log about each change."""
        before = False
        changed = self._engine.ready_changed
        while True:
            await changed.wait()
            changed.clear()
            ready = self._engine.ready
            if ready == before:
                continue
            before = ready
            await self._grpc.set_ready(ready)
            if not ready:
                _LOG.info("event=not_ready model=%s", self._config.name)
                continue
            phases = " ".join(f"{k}_seconds={v:.3f}" for k, v in self._engine.start_seconds.items())
            total = time.monotonic() - self._began
            _LOG.info("event=ready model=%s seconds=%.3f %s", self._config.name, total, phases)


class _Uvicorn(uvicorn.Server):
    """Signals are the application's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the handlers as they are."""
        yield


class _Signals:
    """SIGTERM and SIGINT: the first one drains, each further one ends the waiting that it meets."""

    def __init__(self) -> None:
        self.interrupted = False
        self._received: asyncio.Queue[int] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)

    async def next(self) -> None:
        """Returns when there is one more signal."""
        await self._received.get()

    def _on_signal(self, number: int) -> None:
        self.interrupted = self.interrupted or number == signal.SIGINT
        self._received.put_nowait(number)


def _listen(protocol: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise StartError(f"{protocol} cannot listen on {host}:{port}: {error.strerror}") from error
    return sock


def _api_keys() -> ApiKeys | None:
    """None = everybody may call. Raises StartError for a file that cannot be used."""
    path = os.environ.get(ENV_KEYS, "")
    return ApiKeys(Path(path), time.monotonic) if path else None


def _version() -> str:
    try:
        return metadata.version("atheria")
    except metadata.PackageNotFoundError:
        return "unknown"
