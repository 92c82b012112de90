"""ext_authz: Envoy's hold listener asks here before it lets a call on; the answer comes when the model is ready."""

from __future__ import annotations

import json
from typing import Any, Final

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from google.rpc import status_pb2

from atheria_gateway.core.hold import Denial, Refusal
from atheria_gateway.runtime.activator import Activator
from atheria_gateway.xds.cluster_names import HEADER_ATTEMPT, HEADER_TARGET, read_cluster_name

_HTTP_STATUS: Final = {
    Refusal.UNKNOWN_MODEL: 404,
    Refusal.MODEL_FULL: 429,
    Refusal.GATEWAY_FULL: 429,
    Refusal.TIMED_OUT: 503,
    Refusal.DRAINING: 503,
}
_GRPC_STATUS: Final = {
    Refusal.UNKNOWN_MODEL: grpc.StatusCode.NOT_FOUND,
    Refusal.MODEL_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Refusal.GATEWAY_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Refusal.TIMED_OUT: grpc.StatusCode.UNAVAILABLE,
    Refusal.DRAINING: grpc.StatusCode.UNAVAILABLE,
}


class CheckService(external_auth_pb2_grpc.AuthorizationServicer):  # type: ignore[misc]
    """One Check is one held call; its cancellation frees the place."""

    def __init__(self, activator: Activator) -> None:
        """Decisions are the activator's."""
        self._activator = activator

    async def Check(self, request: Any, _: Any) -> Any:
        """OK when the call may go to a pod, otherwise a denial with the status that the caller gets."""
        headers = request.attributes.request.http.headers
        target = read_cluster_name(headers.get(HEADER_TARGET, ""))
        if target is None:
            denial: Denial | None = Denial(
                refusal=Refusal.UNKNOWN_MODEL, message=f"the call names no model (header {HEADER_TARGET})"
            )
        else:
            attempt = headers.get(HEADER_ATTEMPT, "1")
            denial = await self._activator.hold(
                target.model, http=target.http, attempt=int(attempt) if attempt.isdigit() else 1
            )
        if denial is None:
            return external_auth_pb2.CheckResponse(status=status_pb2.Status(code=0))
        return _denied(denial, is_grpc=headers.get("content-type", "").startswith("application/grpc"))


def _denied(denial: Denial, *, is_grpc: bool) -> Any:
    code = _GRPC_STATUS[denial.refusal].value[0]
    answer = external_auth_pb2.CheckResponse(status=status_pb2.Status(code=code, message=denial.message))
    denied = answer.denied_response
    denied.status.code = _HTTP_STATUS[denial.refusal]
    # Envoy derives a gRPC call's message from the body, and its status from the HTTP one, which knows fewer.
    denied.body = denial.message if is_grpc else json.dumps({"error": denial.message})
    option = denied.headers.add()
    option.header.key, option.header.value = (
        ("grpc-status", str(code)) if is_grpc else ("content-type", "application/json")
    )
    option.append_action = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return answer
