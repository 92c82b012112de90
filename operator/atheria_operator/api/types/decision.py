"""Decisions of the autoscaler: status.lastDecisions."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from pydantic import Field

from atheria_operator.api.types.fields import Part


class DecisionInputs(Part):
    """What the autoscaler saw when it decided."""

    replicas: float | None = Field(default=None, ge=0, description="Pods asked for.")
    ready: float | None = Field(default=None, ge=0, description="Pods that answer calls.")
    starting: float | None = Field(
        default=None, ge=0, description="Pods on their way, those not created yet included."
    )
    unschedulable: float | None = Field(
        default=None, ge=0, description="Pods for which there is no node and none is coming."
    )
    held: float | None = Field(default=None, ge=0, description="Calls held in gateways.")
    inFlight: float | None = Field(default=None, ge=0, description="Calls in pods, queued ones included.")
    arrivalsPerSecond: float | None = Field(
        default=None, ge=0, description="Calls a second over the stable window."
    )
    burstPerSecond: float | None = Field(
        default=None, ge=0, description="Calls a second over the panic window, less what may be chance."
    )
    serviceSeconds: float | None = Field(
        default=None, ge=0, description="Measured seconds that a pod works on a call."
    )
    coldStartSeconds: float | None = Field(
        default=None, ge=0, description="Measured seconds of the last start."
    )


class ScaleDecision(Part):
    """One decision of the autoscaler that changed something."""

    time: str = Field(description="When, RFC 3339 in UTC.", json_schema_extra={"format": "date-time"})
    replicas: int = Field(ge=0, description="Pods decided.")
    reason: str = Field(description="Why, one word in CamelCase.")
    message: str = Field(description="The numbers that led to it.")
    before: int | None = Field(default=None, ge=0, description="Pods until then.")
    formula: str | None = Field(
        default=None, description="How the calls' need was computed, with the numbers; absent = it was not."
    )
    bound: str | None = Field(
        default=None,
        description="What held the number where it is instead of at the need, e.g. maxReplicas or scaleDownDelay; absent = nothing.",
    )
    inputs: DecisionInputs | None = Field(default=None, description="What was seen.")
