"""The status of an AtheriaModel, written by the operator."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Literal

from pydantic import Field

from atheria_operator.api.types.decision import ScaleDecision
from atheria_operator.api.types.fields import Part, Preserved
from atheria_operator.api.types.prepared import (
    CompileCacheStatus,
    PrecisionStatus,
    QualityStatus,
    Steadiness,
    WarmBucket,
)
from atheria_operator.api.types.rollout import RolloutStatus
from atheria_operator.api.types.standby import StandbyStatus
from atheria_operator.api.types.starts import ColdStart, FinishedStart, Start
from atheria_operator.api.types.text import KvCacheStatus


class Condition(Part):
    """One fact about the model."""

    type: str = Field(
        max_length=316,
        description="Name of the fact: Accepted, Ready, Warm, Active, QualityAccepted, Progressing and others.",
    )
    status: Literal["True", "False", "Unknown"] = Field(
        description="Whether it holds: True, False or Unknown."
    )
    reason: str = Field(max_length=1024, description="Why, one word in CamelCase for programs.")
    message: str = Field(
        max_length=32768, description="Why, a sentence for people, with the next step where there is one."
    )
    lastTransitionTime: str = Field(
        description="When status changed last, RFC 3339 in UTC.", json_schema_extra={"format": "date-time"}
    )
    observedGeneration: int | None = Field(
        default=None,
        ge=0,
        description="metadata.generation that this was computed from.",
        json_schema_extra={"format": "int64"},
    )


class Revision(Part):
    """One version of the model that has pods or will have."""

    name: str = Field(description="Name of its Deployment, Service and ConfigMap: <model>-<hash>.")
    weight: int = Field(ge=0, le=100, description="Share of the calls in percent, from 0 to 100.")
    replicas: int = Field(ge=0, description="Pods that its Deployment asks for.")
    readyReplicas: int = Field(ge=0, description="Pods that answer calls.")
    mayRun: bool = Field(
        default=True,
        description="Whether it may have pods now; the autoscaler brings one that may not to 0, and gateways do not wake it. "
        "Default: true.",
    )


class ServiceTime(Part):
    """How long a pod works on a call, as the gateways' reports show; an operator that starts begins with it."""

    revision: str = Field(max_length=253, description="Name of the revision that took the calls.")
    seconds: float = Field(ge=0, description="Mean of the last minutes, in seconds, without waiting.")
    measuredAt: str = Field(
        description="When it was measured, RFC 3339 in UTC; not believed after a week.",
        json_schema_extra={"format": "date-time"},
    )


class Fault(Part):
    """What keeps the model from being Ready."""

    reason: str = Field(description="Why, one word in CamelCase; the reason of the condition Ready.")
    retriable: bool = Field(
        description="Whether time or another try may mend it; false = the spec, or what it names, has to change."
    )
    nextStep: str | None = Field(default=None, description="What a person does about it.")


class Cost(Part):
    """What the model's pods cost in the current period, of at most 24 hours."""

    since: str = Field(description="Begin of the period, RFC 3339 in UTC.")
    seconds: float = Field(ge=0, description="Length of the period so far, in seconds.")
    busySeconds: float = Field(ge=0, description="Seconds of pods with a call in flight, modelled.")
    idleSeconds: float = Field(ge=0, description="Seconds of ready pods without a call, modelled.")
    loadingSeconds: float = Field(ge=0, description="Seconds of pods that were not ready yet, measured.")
    calls: int = Field(
        ge=0, description="Calls at the gateways in the period.", json_schema_extra={"format": "int64"}
    )
    usdPerHour: float | None = Field(
        default=None, ge=0, description="Price of one pod's devices in USD per hour; absent = unknown."
    )
    paidUsd: float | None = Field(
        default=None,
        ge=0,
        description="Cost of all seconds of the period in USD, waiting for a node included.",
    )
    idleUsd: float | None = Field(default=None, ge=0, description="The part of it for idle seconds in USD.")
    reservedPer1000: float | None = Field(
        default=None, ge=0, description="paidUsd for 1000 calls, in USD; absent without calls."
    )
    busyPer1000: float | None = Field(
        default=None,
        ge=0,
        description="Cost of the busy seconds alone for 1000 calls, in USD; absent without calls.",
    )
    basis: str | None = Field(
        default=None, description="Of paidUsd and reservedPer1000: measured (pods and calls were counted)."
    )
    busyBasis: str | None = Field(
        default=None,
        description="Of busyPer1000 and idleUsd: modelled (a pod is busy while the gateways report a call in flight for it).",
    )
    priceSource: str | None = Field(
        default=None, description="Where the price comes from, as the hardware profile says."
    )
    priceDate: str | None = Field(default=None, description="When the price was read.")


class Failure(Part):
    """A refusal that starting again does not mend."""

    revision: str = Field(description="Name of the revision that was refused.")
    reason: str = Field(description="Why, one word in CamelCase, e.g. QualityRejected.")
    message: str = Field(description="Why, in the server's own words.")


class RefusedProfile(Part):
    """A profile that profile auto does not try again."""

    profile: str = Field(description="Name of the hardware profile.")
    reason: str = Field(
        description="Why its pods were refused for good, one word, e.g. PrecisionUnsupported."
    )


class HardwareStatus(Part):
    """On what the revision that the spec asks for runs, and why."""

    profile: str = Field(description="Name of the hardware profile.")
    why: str | None = Field(
        default=None, max_length=4096, description="Why this one: named, or how auto chose it."
    )
    price: str | None = Field(
        default=None, description="Price of one device in USD per hour with its source and date."
    )
    neededBytes: int | None = Field(
        default=None,
        ge=0,
        description="Bytes of memory on one device: weights, and the largest batch, for all workers; absent = not known.",
        json_schema_extra={"format": "int64"},
    )
    memoryBytes: int | None = Field(
        default=None,
        ge=0,
        description="Bytes of memory that one device has; absent = not known.",
        json_schema_extra={"format": "int64"},
    )
    basis: str | None = Field(
        default=None,
        description="Of neededBytes: measured (a pod counted the weights), declared, or modelled (at least; declared fp32 weights in "
        "fewer bits).",
    )
    specDigest: str | None = Field(
        default=None, description="What auto chose from; it chooses anew when this changes."
    )
    refused: list[RefusedProfile] = Field(
        default=[],
        max_length=256,
        description="Profiles on which pods of this spec were refused for good, which auto does not try again. At most 256.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["profile"]},
    )


class AtheriaModelStatus(Part):
    """What is."""

    observedGeneration: int | None = Field(
        default=None,
        ge=0,
        description="metadata.generation that this status was computed from.",
        json_schema_extra={"format": "int64"},
    )
    conditions: list[Condition] = Field(
        default=[],
        description="Facts by type: Accepted (the spec can be served), Ready (the spec as it is answers calls, or will after a wake), "
        "Warm (a pod is loaded and warmed up), Active (pods are asked for), QualityAccepted (the variant was compared with its fp32 "
        "baseline), Progressing (a change is on its way; False also when it was given up), UpgradeAvailable (the operator has "
        "another server image), ScalerReady (with another scaling.class than atheria: that autoscaler can work), KvCacheAccepted (a "
        "compressed spec.kvCache runs in the precision that was asked for).",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    phase: str | None = Field(
        default=None,
        description="What the revision that the spec asks for does, one word for people; programs read conditions: Creating, "
        "WaitingForNode, WaitingForGPU, Pulling, Downloading, Loading, Compiling, Warming, Serving, Draining, ScaledToZero, Asleep, Failed.",
    )
    url: str | None = Field(
        default=None, description="Address inside the cluster, gRPC: <model>.<namespace>:8001."
    )
    replicas: int | None = Field(default=None, ge=0, description="Pods that exist.")
    readyReplicas: int | None = Field(default=None, ge=0, description="Pods that answer calls.")
    selector: str | None = Field(
        default=None, description="Label selector of the pods, for the scale subresource."
    )
    queue: int | None = Field(
        default=None,
        ge=0,
        description="Calls held or in flight when the status was computed; not refreshed for its own sake.",
    )
    activeRevision: str | None = Field(default=None, description="Deployment that takes the calls.")
    revisions: list[Revision] = Field(
        default=[],
        description="Versions of the model that have or had calls, with their weights.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    rollout: RolloutStatus | None = Field(
        default=None,
        description="How far the newest change of the spec has come; see the condition Progressing.",
    )
    coldStart: ColdStart | None = Field(
        default=None, description="Seconds by phase of the last start of a first pod."
    )
    standby: StandbyStatus | None = Field(
        default=None, description="What sleeps, and what that frees; absent while no pod does."
    )
    serviceTime: ServiceTime | None = Field(
        default=None,
        description="Measured seconds of a call, which the autoscaler multiplies with the calls that arrive; written again when it has "
        "changed by a tenth, at most once a minute.",
    )
    start: Start | None = Field(
        default=None, description="How far the first pod's start is; absent when no start is under way."
    )
    starts: list[FinishedStart] = Field(
        default=[],
        max_length=5,
        description="The last starts of a first pod, newest first, at most 5; expectedAt follows from them.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    fault: Fault | None = Field(
        default=None,
        description="Why the model is not Ready and who can mend it; absent while Ready is not False.",
    )
    cost: Cost | None = Field(
        default=None,
        description="What the pods cost, per 1000 calls too; refreshed with each change and every few minutes.",
    )
    lastCallTime: str | None = Field(
        default=None,
        description="When a caller's call was last seen at a gateway, RFC 3339 in UTC; probes and scrapes never count. Refreshed "
        "with the status, not for its own sake.",
        json_schema_extra={"format": "date-time"},
    )
    hardware: HardwareStatus | None = Field(default=None, description="On what the model runs, and why.")
    failure: Failure | None = Field(
        default=None,
        description="Why the revision that the spec asks for was refused for good; absent once it was ready or the spec changed.",
    )
    quality: QualityStatus | None = Field(default=None, description="The variant against its baseline.")
    precision: PrecisionStatus | None = Field(default=None, description="What the weights are kept as.")
    compileCache: CompileCacheStatus | None = Field(default=None, description="What became of compiled code.")
    kvCache: KvCacheStatus | None = Field(default=None, description="What became of spec.kvCache.")
    warmup: list[WarmBucket] = Field(
        default=[],
        max_length=64,
        description="Seconds of each shape that was computed before ready, at most 64.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    steadiness: Steadiness | None = Field(
        default=None, description="Whether the first calls were as fast as the warm-up, for compiled models."
    )
    evaluation: dict[str, Preserved] = Field(
        default={},
        max_length=32,
        description="Summary of the server's validation report: figures and words by name, at most 32.",
    )
    scaledBy: str | None = Field(
        default=None,
        description="Who decides the number of pods: spec.scaling.class once its objects are in place; absent = atheria.",
    )
    lastDecisions: list[ScaleDecision] = Field(
        default=[],
        max_length=10,
        description="The autoscaler's last changes, newest first, at most 10.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
