"""A gRPC server on a thread of its own ends in order, with calls that are still open too."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest

from atheria_operator.adapters.grpc_thread import GrpcThread

METHOD = "/test.Waiting/Wait"


class Waiting:
    """Answers never, and takes some turns of the loop to end."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.has_ended = threading.Event()

    def add(self, server: grpc.aio.Server) -> None:
        """As the generated code adds a service."""
        handlers = {"Wait": grpc.unary_unary_rpc_method_handler(self._wait)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Waiting", handlers),))

    async def _wait(self, _: bytes, __: Any) -> bytes:
        self.has_begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            self.has_ended.set()
        return b""


async def test_an_open_call_may_end_before_its_loop_does_and_nothing_is_logged_as_an_error(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    service = Waiting()
    thread = GrpcThread("test server", service.add)
    port = await thread.start(0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(METHOD)(b"")
        assert await asyncio.to_thread(service.has_begun.wait, 60)
        await thread.stop(grace=0)
        assert service.has_ended.is_set()
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    assert "Traceback" not in capfd.readouterr().err
