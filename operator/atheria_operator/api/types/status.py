"""The status of an AtheriaModel, written by the operator."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Literal

from pydantic import Field

from atheria_operator.api.types.fields import Part, Preserved


class Condition(Part):
    """One fact about the model."""

    type: str = Field(
        max_length=316, description="Name of the fact: Accepted, Ready, Warm, Active or QualityAccepted."
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


class ScaleDecision(Part):
    """One decision of the autoscaler that changed something."""

    time: str = Field(description="When, RFC 3339 in UTC.", json_schema_extra={"format": "date-time"})
    replicas: int = Field(ge=0, description="Pods decided.")
    reason: str = Field(description="Why, one word in CamelCase.")
    message: str = Field(description="The numbers that led to it.")


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
        "baseline).",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    phase: str | None = Field(default=None, description="One word for people; programs read conditions.")
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
    coldStart: ColdStart | None = Field(
        default=None, description="Seconds by phase of the last start of a first pod."
    )
    failure: Failure | None = Field(
        default=None,
        description="Why the revision that the spec asks for was refused for good; absent once it was ready or the spec changed.",
    )
    quality: QualityStatus | None = Field(default=None, description="The variant against its baseline.")
    precision: PrecisionStatus | None = Field(default=None, description="What the weights are kept as.")
    compileCache: CompileCacheStatus | None = Field(default=None, description="What became of compiled code.")
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
    lastDecisions: list[ScaleDecision] = Field(
        default=[],
        max_length=10,
        description="The autoscaler's last changes, newest first, at most 10.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
