"""Composition root: builds the parts, runs them in one event loop, and ends them in order.

Called by `__main__` after the worker processes have been started.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Final

import uvicorn
import uvloop

from atheria_contract.serving import ServingConfig
from atheria_server.core.batching import BatchPolicy
from atheria_server.core.caller_limits import CallerLimits
from atheria_server.core.errors import StartError, start_failure
from atheria_server.core.unread_frames import UNREAD_BYTES
from atheria_server.drain_delay import pass_delay
from atheria_server.engine.crew import Compute
from atheria_server.engine.engine import Engine
from atheria_server.engine.health import HealthWatch
from atheria_server.engine.limits import EngineLimits
from atheria_server.engine.process import WorkerProcess
from atheria_server.engine.service import ModelService
from atheria_server.engine.warm_up import WarmUp
from atheria_server.metrics import ServerMetrics
from atheria_server.models.contract import BoundedUnread, is_continuous
from atheria_server.models.registry import load_served
from atheria_server.models.served import Served, limit_batches
from atheria_server.slow_calls import read_slow_calls
from atheria_server.sources.progress import listening
from atheria_server.traced_metrics import TracedMetrics
from atheria_server.tracing import start_tracing
from atheria_server.transport.authorize import Authorization, GrpcAuthorization, HttpAuthorization
from atheria_server.transport.connections import connection_settings
from atheria_server.transport.grpc_server import GrpcServer, wants_reflection
from atheria_server.transport.grpc_service import InferenceServicer
from atheria_server.transport.litserve_app import AtheriaServer
from atheria_server.transport.model_info import ModelInfo
from atheria_server.transport.rest import RestRoutes
from atheria_server.transport.security import read_security
from atheria_server.transport.standby import StandbyRoutes
from atheria_server.transport.trace_headers import GrpcTrace, HttpTrace
from atheria_server.transport.trace_spans import GrpcSpans, HttpSpans
from atheria_server.transport.waiting_room import WaitingRoom

_LOG = logging.getLogger("atheria.server")
QUEUE_MESSAGES: Final = 4
"""The queue holds at most so many requests of the largest size."""
MAX_STREAMS: Final = 8
"""Streams that one worker computes at a time."""
MAX_ASYNC_CALLS: Final = 64
"""Calls that one worker computes at a time for async LitAPIs, streams or not."""
STOP_GRACE_SECONDS: Final = 2.0


def serve(config: ServingConfig, workers: Sequence[WorkerProcess], began: float) -> None:
    """Serve until a signal. `began` = time.monotonic() at the start of the process. Raises StartError."""

    def listen() -> socket.socket:
        return _listen("HTTP", config.host, config.http_port)

    try:
        with WaitingRoom(listen) as room, listening(room.told):
            served = load_served(
                config.source, config.parameters, config.digest, cache_directory=config.cache.directory
            )
        for line in limit_batches(served, config.max_batch_size):
            _LOG.warning("%s", line)
    except StartError:
        raise
    except Exception as error:
        raise StartError(start_failure(error)) from error
    uvloop.run(_run(config, served, workers, began, room.socket or listen()))


async def _run(
    config: ServingConfig,
    served: Served,
    workers: Sequence[WorkerProcess],
    began: float,
    sock: socket.socket,
) -> None:
    # A grpc.aio server that cannot bind leaves noise behind; ask before there is one.
    _listen("gRPC", config.host, config.grpc_port).close()
    # Built inside the loop: grpc.aio binds its objects to the running one.
    await Application(config, served, workers, began).run(sock)


class Application:
    """The parts of one server."""

    def __init__(
        self, config: ServingConfig, served: Served, workers: Sequence[WorkerProcess], began: float
    ) -> None:
        self._config = config
        self._is_hurried = False
        """A second signal came: nothing is waited for any more."""
        self._began = began
        version = _version()
        self._tracing = start_tracing(os.environ, version)
        self._metrics = (
            TracedMetrics(model=config.name, version=version, tracing=self._tracing)
            if self._tracing
            else ServerMetrics(model=config.name, version=version)
        )
        self._engine = Engine(
            limits=EngineLimits(
                batches=_policy(config, served),
                max_queue_rows=config.max_queue_depth,
                max_queue_bytes=QUEUE_MESSAGES * config.max_message_bytes,
                max_streams=_max_streams(served),
                max_unread_streams=_max_unread_streams(served),
                max_unread_bytes=_max_unread_bytes(served, len(workers)),
                idempotent=config.idempotent,
                fall_seconds=config.drain_delay_seconds,
            ),
            events=self._metrics,
            warm_up=self._warm_up,
            workers=workers,
        )
        self._metrics.observe(
            depth=lambda: self._engine.queue_depth,
            in_flight=lambda: self._engine.in_flight,
            ready=lambda: self._service.ready,
        )
        self._metrics.observe_fill(lambda: self._engine.queue_fill)
        self._metrics.observe_standby(
            lambda: self._engine.standby.is_asleep, lambda: self._engine.standby.freed_bytes
        )
        self._metrics.observe_traffic(lambda: self._engine.crew.traffic)
        self._metrics.observe_unread(lambda: self._engine.unread)
        self._security = read_security(os.environ, time.monotonic)
        if self._security.certificates:
            self._metrics.observe_certificate(self._security.certificates.expires_at_seconds)
        self._service = ModelService(
            name=config.name,
            api=served.main,
            apis=served.apis,
            engine=self._engine,
            events=self._metrics,
            limits=CallerLimits(self._security.caller_concurrency),
            tracing=self._tracing,
            slow_calls=read_slow_calls(os.environ),
        )
        info = ModelInfo(self._service, config, self._metrics.statistics, served.main)
        self._health = HealthWatch(served.apis, self._service.set_healthy)
        self._http = AtheriaServer(served, self._service, max_message_bytes=config.max_message_bytes)
        authorization = Authorization(self._http.checks)
        self._grpc = GrpcServer(
            servicer=InferenceServicer(
                self._service,
                info=info,
                server_version=version,
                max_message_bytes=config.max_message_bytes,
            ),
            model=config.name,
            host=config.host,
            port=config.grpc_port,
            max_message_bytes=config.max_message_bytes,
            connections=connection_settings(os.environ),
            interceptors=[
                GrpcTrace(),
                *([GrpcSpans(self._tracing)] if self._tracing else []),
                *self._security.grpc_interceptors(self._metrics.call_rejected),
                *(
                    [GrpcAuthorization(authorization, self._metrics.call_rejected)]
                    if authorization.needed
                    else []
                ),
            ],
            credentials=self._security.grpc_credentials(),
            reflected=wants_reflection(os.environ),
        )
        if authorization.needed:
            self._http.app.add_middleware(
                HttpAuthorization, authorization=authorization, refused=self._metrics.call_rejected
            )
        self._security.guard(self._http.app, self._metrics.call_rejected)
        if self._tracing:
            self._http.app.add_middleware(HttpSpans, tracing=self._tracing)
        self._http.app.add_middleware(HttpTrace)  # the last one added is the first one asked
        RestRoutes(
            self._service,
            info=info,
            metrics=self._metrics.exposition,
            server_version=version,
            max_message_bytes=config.max_message_bytes,
        ).add_to(self._http.app)
        if config.standby.token_digest:
            StandbyRoutes(
                self._engine.standby,
                config.standby.token_digest,
                unready_reason=lambda: self._service.unready_reason,
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
                proxy_headers=False,  # a caller's address is the one it connects from
                lifespan="on",
                ws="websockets-sansio",
                ws_max_size=self._config.max_message_bytes,
                ws_per_message_deflate=False,  # tensors do not compress
                timeout_graceful_shutdown=int(STOP_GRACE_SECONDS),
                **self._security.uvicorn_options(),
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
            *([asyncio.create_task(self._health.run(), name="litapi_health")] if self._health.needed else []),
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
            await asyncio.gather(
                self._grpc.stop(STOP_GRACE_SECONDS), self._engine.stop(at_once=self._is_hurried)
            )
            for task in tasks:
                if task.get_name() != "http":
                    task.cancel()
            await asyncio.wait(tasks, timeout=2 * STOP_GRACE_SECONDS)
            if self._tracing:
                self._tracing.shutdown()
            _LOG.info("event=stopped seconds=%.3f", time.monotonic() - self._began)

    async def _drain(self, stop: _Signals) -> None:
        delay = 0.0 if stop.interrupted else self._config.drain_delay_seconds
        self._engine.drain()
        _LOG.info("event=draining in_flight=%d accepting_for_seconds=%g", self._engine.in_flight, delay)
        await pass_delay(delay, stop.next)
        finishing = asyncio.create_task(self._engine.finish(self._config.drain_timeout_seconds))
        again = asyncio.create_task(stop.next())
        await asyncio.wait({finishing, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        self._is_hurried = not finishing.done()
        left = self._engine.in_flight if self._is_hurried else finishing.result()
        finishing.cancel()
        level = logging.WARNING if left else logging.INFO
        _LOG.log(level, "event=drained unanswered=%d", left)

    async def _warm_up(self, compute: Compute) -> None:
        if not self._service.described:
            _LOG.info("event=warmup_skipped reason=the_model_declares_no_tensors")
            return
        warm_up = WarmUp(
            self._service.api,
            shapes=self._config.warmup_shapes,
            # The calls of a continuous model are never rows of one batch.
            max_batch_size=1 if self._service.continuous else self._config.max_batch_size,
            limit_rows=self._engine.limit_rows,
            clock=time.monotonic,
        )
        await warm_up.run(compute)

    async def _publish_ready(self) -> None:
        """Tell gRPC health and the log about each change."""
        before = False
        changed = self._engine.ready_changed
        while True:
            await changed.wait()
            changed.clear()
            ready = self._service.ready
            if ready == before:
                continue
            before = ready
            await self._grpc.set_ready(ready)
            if not ready:
                _LOG.info("event=not_ready model=%s", self._config.name)
                continue
            self._service.set_started()
            phases = " ".join(f"{k}_seconds={v:.3f}" for k, v in self._engine.crew.start_seconds.items())
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


def _policy(config: ServingConfig, served: Served) -> BatchPolicy:
    """The server's limits, and within them what a plain LitAPI asks for."""
    size, wait = served.max_batch_size, served.batch_timeout_seconds
    return BatchPolicy(
        max_batch_size=config.max_batch_size if size is None else min(size, config.max_batch_size),
        max_latency_seconds=config.max_latency_seconds
        if wait is None
        else min(wait, config.max_latency_seconds),
    )


def _max_streams(served: Served) -> int:
    """Of one worker at a time."""
    if is_continuous(served.main):
        return int(served.main.places)
    return MAX_ASYNC_CALLS if served.runs_async else MAX_STREAMS


def _max_unread_streams(served: Served) -> int | None:
    """Of one worker at a time; None = any number, since all others stop when their reader does."""
    return _max_streams(served) if is_continuous(served.main) else None


def _max_unread_bytes(served: Served, workers: int) -> int | None:
    """Of all workers; None = any number, as above."""
    if not is_continuous(served.main):
        return None
    bounded = isinstance(served.main, BoundedUnread)
    return workers * (int(served.main.unread_bytes) if bounded else UNREAD_BYTES)


def _listen(protocol: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen()  # from here on callers wait instead of being turned away
    except OSError as error:
        sock.close()
        raise StartError(f"{protocol} cannot listen on {host}:{port}: {error.strerror}") from error
    return sock


def _version() -> str:
    try:
        return metadata.version("atheria")
    except metadata.PackageNotFoundError:
        return "unknown"
