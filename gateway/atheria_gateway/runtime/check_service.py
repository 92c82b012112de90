"""ext_authz: Envoy's hold listener asks here before it lets a call on; the answer comes when the model is ready."""

from __future__ import annotations

import base64
import json
import math
import time
from typing import Any, Final

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from atheria_contract import names
from atheria_gateway.core.hold import Denial, Refusal
from atheria_gateway.runtime.activator import Activator
from atheria_gateway.runtime.holding import Released
from atheria_gateway.xds.check_headers import read_call
from atheria_gateway.xds.cluster_names import HEADER_TARGET, TICKET

_FULL: Final = (grpc.StatusCode.RESOURCE_EXHAUSTED, 429)
_AWAY: Final = (grpc.StatusCode.UNAVAILABLE, 503)
_STATUS: Final = {
    Refusal.UNKNOWN_MODEL: (grpc.StatusCode.NOT_FOUND, 404),
    Refusal.MODEL_FULL: _FULL,
    Refusal.GATEWAY_FULL: _FULL,
    Refusal.CALLER_FULL: _FULL,
    Refusal.BYTES_FULL: _FULL,
    Refusal.DEADLINE: _AWAY,
    Refusal.TIMED_OUT: _AWAY,
    Refusal.DRAINING: _AWAY,
}


class CheckService(external_auth_pb2_grpc.AuthorizationServicer):  # type: ignore[misc]
    """One Check is one held call; its cancellation frees the place."""

    def __init__(self, activator: Activator) -> None:
        """Decisions are the activator's."""
        self._activator = activator

    async def Check(self, request: Any, _: Any) -> Any:
        """OK when the call may go to a pod, otherwise a denial with the status that the caller gets."""
        headers = request.attributes.request.http.headers
        call = read_call(headers, time.time())
        if call is None:
            answer: Released | Denial = Denial(
                refusal=Refusal.UNKNOWN_MODEL, message=f"the call names no model (header {HEADER_TARGET})"
            )
        else:
            answer = await self._activator.hold(call)
        if isinstance(answer, Denial):
            return _denied(answer, is_grpc=headers.get("content-type", "").startswith("application/grpc"))
        return _released(answer)


def _released(answer: Released) -> Any:
    check = external_auth_pb2.CheckResponse(status=status_pb2.Status(code=0))
    check.dynamic_metadata[TICKET] = answer.ticket
    _set(check.ok_response.response_headers_to_add, names.HEADER_HELD, f"{answer.held_s:.3f}")
    return check


def _denied(denial: Denial, *, is_grpc: bool) -> Any:
    status, http_status = _STATUS[denial.refusal]
    code = status.value[0]
    answer = external_auth_pb2.CheckResponse(status=status_pb2.Status(code=code, message=denial.message))
    denied = answer.denied_response
    denied.status.code = http_status
    # Envoy derives a gRPC call's message from the body, and its status from the HTTP one, which knows fewer.
    denied.body = denial.message if is_grpc else json.dumps({"error": denial.message})
    if is_grpc:
        _set(denied.headers, "grpc-status", str(code))
        _set(denied.headers, "grpc-status-details-bin", _details(denial, code))
    else:
        _set(denied.headers, "content-type", "application/json")
        if denial.retry_after_s is not None:
            _set(denied.headers, "retry-after", str(max(1, math.ceil(denial.retry_after_s))))
    return answer


def _details(denial: Denial, code: int) -> str:
    """google.rpc.Status with ErrorInfo and, where a later try may succeed, RetryInfo: as the model server's refusals."""
    status = status_pb2.Status(code=code, message=denial.message)
    info = error_details_pb2.ErrorInfo(reason=denial.refusal.name, domain=names.GROUP)
    parts: list[Any] = [info]
    if denial.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(denial.retry_after_s * 1000))
        parts.append(retry)
    for part in parts:
        packed = any_pb2.Any()
        packed.Pack(part)
        status.details.append(packed)
    return base64.b64encode(status.SerializeToString()).decode("ascii").rstrip("=")


def _set(headers: Any, key: str, value: str) -> None:
    option = headers.add()
    option.header.key, option.header.value = key, value
    option.append_action = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
