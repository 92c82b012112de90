"""The status of an AtheriaModel, written by the operator."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Literal

from pydantic import Field

from atheria_operator.api.types.decision import ScaleDecision
from atheria_operator.api.types.fields import Part, Preserved
from atheria_operator.api.types.rollout import RolloutStatus
from atheria_operator.api.types.standby import StandbyStatus
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


class ServerStart(Part):
    """What happened inside the pod, as its server measured it."""

    importSeconds: float | None = Field(
        default=None, ge=0, description="From the worker's process to its imported libraries, in seconds."
    )
    loadSeconds: float | None = Field(
        default=None,
        ge=0,
        description="To a model that computes: its files, weights, precision and compilation, in seconds.",
    )
    warmupSeconds: float | None = Field(
        default=None, ge=0, description="To the last computed warm-up call, in seconds."
    )


class ColdStart(Part):
    """How long the last start of a first pod took, by phase."""

    pod: str = Field(description="Pod that was measured.")
    revision: str = Field(description="Name of its revision.")
    startedAt: str = Field(
        description="When the pod was created, RFC 3339 in UTC.", json_schema_extra={"format": "date-time"}
    )
    scheduledSeconds: float | None = Field(
        default=None, ge=0, description="From the pod's creation to a node, in seconds."
    )
    startedSeconds: float | None = Field(
        default=None,
        ge=0,
        description="From the node to a running container, image pull included, in seconds.",
    )
    readySeconds: float | None = Field(
        default=None,
        ge=0,
        description="From the running container to ready, load and warm-up included, in seconds.",
    )
    totalSeconds: float | None = Field(
        default=None, ge=0, description="From the pod's creation to ready, in seconds."
    )
    server: ServerStart | None = Field(
        default=None,
        description="The part of readySeconds that the pod's server measured, exactly; without its front's own start.",
    )


class ServiceTime(Part):
    """How long a pod works on a call, as the gateways' reports show; an operator that starts begins with it."""

    revision: str = Field(max_length=253, description="Name of the revision that took the calls.")
    seconds: float = Field(ge=0, description="Mean of the last minutes, in seconds, without waiting.")
    measuredAt: str = Field(
        description="When it was measured, RFC 3339 in UTC; not believed after a week.",
        json_schema_extra={"format": "date-time"},
    )


class PhaseSeconds(Part):
    """How long one phase of a start took."""

    phase: str = Field(max_length=64, description="Name of the phase, e.g. Pulling or Compiling.")
    seconds: float = Field(ge=0, description="Length in seconds.")


class Start(Part):
    """The start of the first pod of the revision that the spec asks for, while it lasts."""

    pod: str = Field(description="Pod that starts.")
    revision: str = Field(description="Name of its revision.")
    phase: str = Field(
        description="What it does now: WaitingForNode, WaitingForGPU, Pulling, Downloading, Loading, Compiling or Warming."
    )
    startedAt: str = Field(
        default="", description="When the pod was created, RFC 3339 in UTC. Default: empty."
    )
    since: str = Field(default="", description="When this phase began, RFC 3339 in UTC. Default: empty.")
    done: int | None = Field(
        default=None,
        ge=0,
        description="Parts of the phase that are done, bytes for Downloading; absent = not counted.",
        json_schema_extra={"format": "int64"},
    )
    total: int | None = Field(
        default=None,
        ge=0,
        description="All parts of the phase, bytes for Downloading; absent = not counted.",
        json_schema_extra={"format": "int64"},
    )
    detail: str | None = Field(
        default=None, max_length=256, description="The server's own words for what it does."
    )
    expectedAt: str | None = Field(
        default=None,
        description="When it should be ready, RFC 3339 in UTC: medians by phase of the last starts; absent without a history.",
    )
    phases: list[PhaseSeconds] = Field(
        default=[],
        max_length=16,
        description="Seconds of the phases that are over, at most 16.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["phase"]},
    )


class FinishedStart(Part):
    """One start of a first pod that became ready."""

    pod: str = Field(description="Pod that started.")
    revision: str = Field(description="Name of its revision.")
    startedAt: str = Field(
        default="", description="When the pod was created, RFC 3339 in UTC. Default: empty."
    )
    totalSeconds: float = Field(ge=0, description="From the pod's creation to ready, in seconds.")
    phases: list[PhaseSeconds] = Field(
        default=[],
        max_length=16,
        description="Seconds of each phase, at most 16.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["phase"]},
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


class QualityMetric(Part):
    """One metric of the variant against the fp32 eager baseline."""

    name: str = Field(description="Name, as in spec.quality.limits.")
    value: float = Field(description="Measured: an agreement such as F_16, or a relative error.")
    limit: float | None = Field(
        default=None, description="The limit it was judged by; absent = it was only measured."
    )
    better: Literal["higher", "lower"] | None = Field(
        default=None,
        description="Whether higher (an agreement) or lower (an error) is better; absent = not told.",
    )
    outcome: Literal["passed", "failed", "not gated", "within noise"] | None = Field(
        default=None,
        description="What the gate said of it; within noise = above its limit by less than two standard errors; absent = not told.",
    )


class QualityStatus(Part):
    """What the quality gate said."""

    revision: str = Field(description="Name of the revision that was judged.")
    pod: str = Field(description="Pod that reported it.")
    passed: bool | None = Field(
        default=None, description="Whether all metrics are within their limits; absent = not judged."
    )
    profile: str | None = Field(
        default=None, description="The limits that were used: default, strict or off."
    )
    reason: str | None = Field(
        default=None, description="One word: Baseline, Passed, AllowedUnvalidated or NotJudged."
    )
    message: str | None = Field(default=None, description="The verdict in the server's words.")
    metrics: list[QualityMetric] = Field(
        default=[],
        max_length=64,
        description="The metrics with their limits, at most 64.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class PrecisionStatus(Part):
    """What the weights are kept as."""

    revision: str = Field(description="Name of the revision.")
    pod: str = Field(description="Pod that reported it.")
    chosen: str | None = Field(default=None, description="The policy that is served, e.g. hierarchy.")
    why: str | None = Field(default=None, description="Why this one, in the server's words.")
    weightBytes: int | None = Field(
        default=None,
        ge=0,
        description="Bytes of the weights as they are stored, counted, of one copy of the model.",
        json_schema_extra={"format": "int64"},
    )


class CompileCacheStatus(Part):
    """What became of compiled code."""

    revision: str = Field(description="Name of the revision.")
    pod: str = Field(description="Pod that reported it: the newest that is ready.")
    mode: str | None = Field(default=None, description="The mode of compilation that is used.")
    result: str | None = Field(
        default=None,
        description="hit, miss, off, or rejected (found, but not signed or not for this machine).",
    )
    why: str | None = Field(default=None, description="Why it was no hit, in the server's words.")
    graphs: int | None = Field(default=None, ge=0, description="Compiled functions, one for each bucket.")
    seconds: float | None = Field(
        default=None, ge=0, description="Spent on compiling or on loading, in seconds."
    )
    savedSeconds: float | None = Field(
        default=None, ge=0, description="What whoever published took longer, in seconds."
    )


class WarmBucket(Part):
    """One shape that was computed before ready."""

    shape: str = Field(description="Shape of one row, e.g. 16x64x64; default = the model's own.")
    rows: int = Field(ge=0, description="Rows of the batch.")
    compileSeconds: float | None = Field(
        default=None, ge=0, description="The first computation, compilation included, in seconds."
    )
    runSeconds: float | None = Field(
        default=None, ge=0, description="Median of the computations after it, in seconds."
    )


class Steadiness(Part):
    """Whether a warm pod is as fast as its warm-up measured."""

    revision: str = Field(description="Name of the revision.")
    pod: str = Field(description="Pod that reported it.")
    passed: bool = Field(
        description="Whether the first call of each shape took at most 1.1 times the median of its warm-up."
    )
    ratio: float | None = Field(
        default=None, ge=0, description="Of the shape that was slowest, without unit."
    )
    bucket: str | None = Field(default=None, description="That shape and its rows.")


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
