"""ext_authz: Envoy's hold listener asks here before it lets a call on; the answer comes when the model is ready."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import math
import time
from typing import Any, Final

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from atheria_contract import names
from atheria_contract.log_budget import LogBudget
from atheria_contract.trace_context import TRACEPARENT, TRACESTATE, TraceContext, parse_trace_context
from atheria_gateway.core.hold import Denial, Refusal
from atheria_gateway.core.hold_reason import HoldReason
from atheria_gateway.runtime.activator import Activator
from atheria_gateway.runtime.hold_spans import HoldSpans
from atheria_gateway.runtime.holding import Released
from atheria_gateway.xds.check_headers import HeldCall, read_call
from atheria_gateway.xds.cluster_names import HEADER_TARGET, TICKET

_LOG = logging.getLogger(__name__)
LINES_PER_SECOND: Final = 5.0
LINES_AT_ONCE: Final = 50
"""A burst of held calls leaves so many lines in the log; Envoy's access log has each of them."""
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

    def __init__(self, activator: Activator, spans: HoldSpans | None = None) -> None:
        """Decisions are the activator's; without `spans` no spans are made."""
        self._activator = activator
        self._spans = spans
        self._budget = LogBudget(per_second=LINES_PER_SECOND, burst=LINES_AT_ONCE)

    async def Check(self, request: Any, context: Any) -> Any:
        """OK when the call may go to a pod, otherwise a denial with the status that the caller gets."""
        headers = request.attributes.request.http.headers
        call = read_call(headers, time.time())
        if call is None:
            answer: Released | Denial = Denial(
                refusal=Refusal.UNKNOWN_MODEL, message=f"the call names no model (header {HEADER_TARGET})"
            )
        else:
            answer = await self._held(call, _parent(context))
        if isinstance(answer, Denial):
            return _denied(answer, is_grpc=headers.get("content-type", "").startswith("application/grpc"))
        return _released(answer)

    async def _held(self, call: HeldCall, parent: TraceContext | None) -> Released | Denial:
        """Hold it, and tell its span and the log how that ended."""
        holding, began_s = self._activator.holding, time.monotonic()
        reason = holding.reason_of(call)
        about: dict[str, str | int | float] = {
            "atheria.model": str(call.model),
            "atheria.hold.reason": reason.value,
            "atheria.attempt": call.attempt,
        }
        span = None if self._spans is None else self._spans.begin(parent, about)
        outcome, failure = "failed", "the activator failed"
        held_s = 0.0
        try:
            answer = await self._activator.hold(call)
            if isinstance(answer, Denial):
                outcome, failure = answer.refusal.value, answer.message
                held_s = call.age_s + time.monotonic() - began_s
            else:
                outcome, failure = "released", ""
                held_s = answer.held_s
            return answer
        except asyncio.CancelledError:
            outcome, failure = "cancelled", "the caller or Envoy gave the call up"
            held_s = call.age_s + time.monotonic() - began_s
            raise
        finally:
            model = self._activator.world.models.get(call.model)
            scaled_at_ns = holding.scaled_at_ns.get(call.model)
            # What was asked for a moment ago need not have come back by the watch.
            asked = max(model.requested_replicas if model else 0, int(scaled_at_ns is not None))
            if self._spans is not None:
                ends: dict[str, str | int | float] = {
                    "atheria.hold.outcome": outcome,
                    "atheria.hold.seconds": round(held_s, 6),
                    "atheria.replicas.asked": asked,
                }
                self._spans.end(span, ends, failure=failure, scaled_at_ns=scaled_at_ns)
            self._log(
                call, reason, outcome, held_s, asked, trace_id=parent.trace_id if parent else call.trace_id
            )

    def _log(
        self, call: HeldCall, reason: HoldReason, outcome: str, held_s: float, asked: int, *, trace_id: str
    ) -> None:
        if not self._budget.take(time.monotonic()):
            return
        skipped, self._budget.skipped = self._budget.skipped, 0
        _LOG.info(
            "event=held model=%s reason=%s outcome=%s held_seconds=%.3f replicas_asked=%d lines_left_out=%d",
            *(call.model, reason.value, outcome, held_s, asked, skipped),
            extra={"trace_id": trace_id},
        )


def _parent(context: Any) -> TraceContext | None:
    """Envoy's span of the question; None where it makes no spans."""
    metadata = dict(context.invocation_metadata() or ())
    return parse_trace_context(str(metadata.get(TRACEPARENT, "")), str(metadata.get(TRACESTATE, "")))


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
