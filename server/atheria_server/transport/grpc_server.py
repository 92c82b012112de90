"""The gRPC listener: the inference service, its extensions, health and reflection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc.aio
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2

from atheria_contract.generated import inference_pb2
from atheria_contract.generated.inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from atheria_server.core.errors import StartError
from atheria_server.transport.connections import ConnectionSettings
from atheria_server.transport.grpc_extension import SERVICE, ExtensionHandler
from atheria_server.transport.grpc_service import InferenceServicer
from atheria_server.transport.model_info import ModelInfo

FRAME_BYTES: Final = 64 * 1024
"""Room for names and shapes beside the tensors, so that a request of exactly the largest size passes."""


class GrpcServer:
    """Started once; its health says what `set_ready` said last."""

    def __init__(
        self,
        *,
        servicer: InferenceServicer,
        info: ModelInfo,
        model: str,
        host: str,
        port: int,
        max_message_bytes: int,
        connections: ConnectionSettings,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        self._servicer = servicer
        self._model = model
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._server = grpc.aio.server(
            interceptors=tuple(interceptors),
            options=[
                ("grpc.max_receive_message_length", max_message_bytes + FRAME_BYTES),
                ("grpc.max_send_message_length", max_message_bytes + FRAME_BYTES),
                ("grpc.so_reuseport", 0),
                *connections.options(),
            ],
        )
        self._health = health_aio.HealthServicer()
        add_GRPCInferenceServiceServicer_to_server(servicer, self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_generic_rpc_handlers((ExtensionHandler(info),))
        names = (SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server, pool=_descriptors())

    async def start(self) -> int:
        """Listen; gives the port. Raises StartError if the address cannot be had."""
        await self.set_ready(False)
        try:
            port: int = self._server.add_insecure_port(self._address)
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


def _descriptors() -> DescriptorPool:
    """All services in one pool: the inference protocol has a private one, see the generated code."""
    pool = DescriptorPool()
    for file in (inference_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        pool.AddSerializedFile(file.serialized_pb)
    return pool
