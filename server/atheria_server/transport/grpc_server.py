"""The gRPC listener: the inference service, health and reflection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import grpc
import grpc.aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2

from atheria_contract.generated import inference_pb2
from atheria_server.core.errors import StartError
from atheria_server.transport.connections import ConnectionSettings
from atheria_server.transport.grpc_not_offered import SERVICE, NotOfferedHandler
from atheria_server.transport.grpc_service import InferenceServicer

ENV_REFLECTION: Final = "ATHERIA_GRPC_REFLECTION"
READ_BYTES: Final = 256 * 1024
FRAME_BYTES: Final = 64 * 1024
"""Room for names and shapes beside the tensors, so that a request of exactly the largest size passes."""

PENDING_CALLS: Final = 1_000_000
"""Calls that have arrived and not been looked at. gRPC's own 1000 cuts a burst off with CANCELLED and no word, also where the queue
has room; here the queue refuses, with its reason."""


class GrpcServer:
    """Started once; its health says what `set_ready` said last."""

    def __init__(
        self,
        *,
        servicer: InferenceServicer,
        model: str,
        host: str,
        port: int,
        max_message_bytes: int,
        connections: ConnectionSettings,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        credentials: grpc.ServerCredentials | None = None,
        reflected: bool = True,
    ) -> None:
        """Without `credentials` the port is not encrypted; `reflected` = clients may ask for the services' schema."""
        self._servicer = servicer
        self._credentials = credentials
        self._model = model
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._server = grpc.aio.server(
            interceptors=tuple(interceptors),
            options=[
                ("grpc.max_receive_message_length", max_message_bytes + FRAME_BYTES),
                ("grpc.max_send_message_length", max_message_bytes + FRAME_BYTES),
                ("grpc.so_reuseport", 0),
                ("grpc.server.max_pending_requests", PENDING_CALLS),
                ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS),
                # Tensors are large: fewer frames from clients and fewer reads cost less on both sides.
                ("grpc.http2.max_frame_size", READ_BYTES),
                ("grpc.experimental.tcp_read_chunk_size", READ_BYTES),
                *connections.options(),
            ],
        )
        self._health = health_aio.HealthServicer()
        servicer.add_to(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_generic_rpc_handlers((NotOfferedHandler(),))
        if reflected:
            names = (SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server, pool=_descriptors())

    async def start(self) -> int:
        """Listen; gives the port. Raises StartError if the address cannot be had."""
        await self.set_ready(False)
        try:
            port: int = (
                self._server.add_secure_port(self._address, self._credentials)
                if self._credentials
                else self._server.add_insecure_port(self._address)
            )
        except RuntimeError as error:
            await self._server.stop(None)
            raise StartError(f"gRPC cannot listen on {self._address}: is the port in use?") from error
        await self._server.start()
        return port

    async def set_ready(self, ready: bool) -> None:
        """For grpc.health.v1: the server (""), the service and the model."""
        status = (
            health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in ("", SERVICE, self._model):
            await self._health.set(name, status)

    async def stop(self, grace_seconds: float) -> None:
        """End open streams, then the server; calls that still run get the grace."""
        self._servicer.end_streams()
        await self._server.stop(grace_seconds)


def wants_reflection(environment: Mapping[str, str]) -> bool:
    """Unless the environment says otherwise. Raises StartError."""
    text = environment.get(ENV_REFLECTION, "") or "on"
    if text not in ("on", "off"):
        raise StartError(f"{ENV_REFLECTION} is {text!r}; expected on or off")
    return text == "on"


def _descriptors() -> DescriptorPool:
    """All services in one pool: the inference protocol has a private one, see the generated code."""
    pool = DescriptorPool()
    for file in (inference_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        pool.AddSerializedFile(file.serialized_pb)
    return pool
