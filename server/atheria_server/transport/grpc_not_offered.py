"""A sentence for Triton's calls that this server does not have, such as those of shared memory, tracing and logging.

Registered by `grpc_server` behind the generated service. Without it gRPC says only "Method not found!", and
tritonclient shows no more than that.
"""

from __future__ import annotations

from typing import Any, Final

import grpc

from atheria_contract.generated import inference_pb2 as pb

_SERVICE: Final = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
SERVICE: Final[str] = _SERVICE.full_name
OFFERED: Final = tuple(method.name for method in _SERVICE.methods)


class NotOfferedHandler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """UNIMPLEMENTED for every method of the inference service that no handler before has."""

    def service(self, handler_call_details: Any) -> Any:
        """Called for methods that no other handler has."""
        service, _, method = handler_call_details.method.removeprefix("/").partition("/")
        if service != SERVICE:
            return None

        async def refuse(_: Any, context: Any) -> None:
            await context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"{method} is not offered; there are {', '.join(OFFERED)}. "
                "Tensors travel in the messages, not in shared memory",
            )

        return grpc.stream_stream_rpc_method_handler(refuse)
