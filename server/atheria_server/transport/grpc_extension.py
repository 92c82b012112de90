"""Triton's calls beyond the protocol over gRPC: config, statistics, index; a sentence for what is not offered.

Registered behind the generated service, which has no methods of these names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import grpc
from google.protobuf.json_format import ParseDict

from atheria_server.core.errors import CallError
from atheria_server.transport.errors import grpc_trailers
from atheria_server.transport.model_info import ModelInfo
from atheria_server.transport.triton_messages import MESSAGES

SERVICE: Final = "inference.GRPCInferenceService"


class ExtensionHandler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Methods by name; any other name of the service is UNIMPLEMENTED."""

    def __init__(self, info: ModelInfo) -> None:
        self._methods = {
            "ModelConfig": _answered(
                "ModelConfig", lambda asked: {"config": info.config(asked.name, asked.version)}
            ),
            "ModelStatistics": _answered(
                "ModelStatistics", lambda asked: info.statistics(asked.name, asked.version)
            ),
            "RepositoryIndex": _answered(
                "RepositoryIndex",
                lambda asked: {"models": info.index(asked.repository_name, only_ready=asked.ready)},
            ),
            "RepositoryModelLoad": _refused(lambda: info.refuse_change("load")),
            "RepositoryModelUnload": _refused(lambda: info.refuse_change("unload")),
        }

    def service(self, handler_call_details: Any) -> Any:
        """Called for methods that no other handler has."""
        service, _, method = handler_call_details.method.removeprefix("/").partition("/")
        if service != SERVICE:
            return None
        return self._methods.get(method) or _not_offered(method)


def _answered(method: str, answer: Callable[[Any], dict[str, Any]]) -> Any:
    response = MESSAGES[f"{method}Response"]

    async def handler(request: Any, context: Any) -> Any:
        try:
            return ParseDict(answer(request), response())
        except CallError as error:
            await _abort(context, error)

    return grpc.unary_unary_rpc_method_handler(
        handler,
        request_deserializer=MESSAGES[f"{method}Request"].FromString,
        response_serializer=response.SerializeToString,
    )


def _refused(refuse: Callable[[], None]) -> Any:
    async def handler(_: bytes, context: Any) -> None:
        try:
            refuse()
        except CallError as error:
            await _abort(context, error)

    return grpc.unary_unary_rpc_method_handler(handler)


def _not_offered(method: str) -> Any:
    async def handler(_: bytes, context: Any) -> None:
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            f"{method} is not offered; there are ModelMetadata, ModelConfig, ModelStatistics and RepositoryIndex",
        )

    return grpc.unary_unary_rpc_method_handler(handler)


async def _abort(context: Any, error: CallError) -> None:
    await context.abort(grpc.StatusCode[error.code], str(error), grpc_trailers(error))
