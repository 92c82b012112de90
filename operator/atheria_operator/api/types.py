"""Types of the custom resources, from which the CRDs, `kubectl explain` and the parser's defaults come.

Every field has a description with its unit, default and bounds. `api.schema` turns them into structural schemas;
`api.parse` turns a body into a `ModelSpec`. Field names are those of the API (camelCase), in this module only.
"""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

DURATION_PATTERN = r"^[0-9]{1,9}(ms|s|m|h)$"
SOURCE_PATTERN = (
    r"^(builtin://[a-z0-9][a-z0-9._-]*"
    r"|python://[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*)$"
)
MAX_NAME_LENGTH = 50
"""A Deployment's name adds a dash and ten digits, and must fit a label value of 63 characters."""


def _bounded_duration(longest: str) -> dict[str, Any]:
    """A rule that refuses durations above `longest`, in the API server."""
    return {
        "x-kubernetes-validations": [
            {
                "rule": f"!self.matches('{DURATION_PATTERN}') || duration(self) <= duration('{longest}')",
                "message": f"the duration must be at most {longest}",
            }
        ]
    }


ShortDuration = Annotated[
    str, Field(pattern=DURATION_PATTERN, max_length=12, json_schema_extra=_bounded_duration("60s"))
]
LongDuration = Annotated[
    str, Field(pattern=DURATION_PATTERN, max_length=12, json_schema_extra=_bounded_duration("24h"))
]
Preserved = Annotated[Any, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
PreservedObject = Annotated[
    dict[str, Any],
    Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "additionalProperties": None}),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(_Part):
    """What to serve."""

    source: str = Field(
        max_length=512,
        description="Where the model comes from: builtin://NAME (qca, echo) or python://package.module:LitAPIClass. Required.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": f"self.matches(r'{SOURCE_PATTERN}')",
                    "message": "source must be builtin://NAME or python://package.module:LitAPIClass",
                }
            ]
        },
    )
    parameters: dict[str, Preserved] = Field(
        default={},
        max_length=64,
        description="Arguments of the model by name, e.g. law: nca. Values are strings, numbers or booleans. "
        "Default: none. At most 64.",
    )
    digest: str = Field(
        default="",
        pattern=r"^(sha256:[0-9a-f]{64})?$",
        description="Digest that the model's weights must have, sha256:<64 hexadecimal digits>; a pod with other weights "
        "fails. Default: empty, which checks nothing.",
    )
    idempotent: bool = Field(
        default=False,
        description="Whether a call may be computed twice: if a worker process dies, its calls are computed again, once, "
        "instead of failing with UNAVAILABLE. Default: false.",
    )


class Hardware(_Part):
    """On what to serve it."""

    profile: str = Field(
        default="cpu",
        min_length=1,
        max_length=253,
        description="Name of an AtheriaHardwareProfile (kubectl get atheriahardwareprofiles). Default: cpu.",
    )
    count: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Devices of the profile's resource per pod. Default: 1. From 1 to 64.",
    )


class Batching(_Part):
    """How calls are computed together."""

    maxBatchSize: int = Field(
        default=8, ge=1, le=1024, description="Rows computed together at most. Default: 8. From 1 to 1024."
    )
    maxLatency: ShortDuration = Field(
        default="50ms",
        description="Longest wait for a fuller batch while the model computes, e.g. 50ms; an idle model starts at once. "
        "Default: 50ms. From 0ms to 60s.",
    )


class Concurrency(_Part):
    """How much is computed at a time, and how much may wait."""

    workersPerReplica: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Processes in a pod that each hold the model, per device; more than one where one process does not fill "
        "the device. Default: 1. From 1 to 16.",
    )
    maxQueueDepth: int = Field(
        default=512,
        ge=1,
        le=1_000_000,
        description="Rows waiting in a pod, and calls held in a gateway, at most; further calls get RESOURCE_EXHAUSTED. "
        "Default: 512. From 1 to 1000000.",
    )


class Scaling(_Part):
    """How many pods."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "self.minReplicas <= self.maxReplicas",
                    "message": "minReplicas must not be above maxReplicas: lower minReplicas or raise maxReplicas",
                }
            ]
        }
    )

    minReplicas: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Fewest pods. 0 lets the model go to zero when idle. Default: 0. From 0 to 1000.",
    )
    maxReplicas: int = Field(
        default=1, ge=1, le=1000, description="Most pods. Default: 1. From 1 to 1000, not below minReplicas."
    )
    initialReplicas: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="Pods that a newly created model starts, so that it is warm before its first call; 0 starts none. Within "
        "minReplicas and maxReplicas; not used with class external. Default: 1. From 0 to 1000.",
    )
    metric: Literal["queueDepth"] = Field(
        default="queueDepth",
        description="What is compared with target: queueDepth, the calls held in gateways or in flight. Default: queueDepth.",
    )
    target: int = Field(
        default=4, ge=1, le=100_000, description="Calls per pod to aim at. Default: 4. From 1 to 100000."
    )
    idleTimeout: LongDuration = Field(
        default="60s",
        description="Time without any call after which the model goes to minReplicas, e.g. 5m. Default: 60s. At most 24h.",
    )
    scaleDownDelay: LongDuration = Field(
        default="30s",
        description="Time that fewer pods must have been enough before one is taken away, e.g. 30s. Default: 30s. At most 24h.",
    )
    scalingClass: Literal["atheria", "external"] = Field(
        default="atheria",
        alias="class",
        description="Who decides the number of pods: atheria (from calls), or external (spec.replicas, as written through the "
        "scale subresource by a person, HPA or KEDA). Default: atheria.",
    )


class Warmup(_Part):
    """What is computed before a pod says ready."""

    shapes: list[list[Annotated[int, Field(ge=1, le=1_000_000)]]] = Field(
        default=[],
        max_length=64,
        description="Shapes of one row (without the batch dimension), computed once before the pod is ready, e.g. "
        "[[16, 64, 64]]. Default: none; the model's own are taken. At most 64.",
        json_schema_extra={
            "x-item-description": "Shape of one row: its dimensions in elements, each from 1 to 1000000."
        },
    )


class AtheriaModelSpec(_Part):
    """What the user wants."""

    model: Model = Field(description="What to serve. Required.")
    hardware: Hardware = Field(
        default=Hardware(), description="On what to serve it. Default: one unit of the profile cpu."
    )
    batching: Batching = Field(
        default=Batching(),
        description="How calls are computed together. Default: up to 8 rows, waiting up to 50ms.",
    )
    concurrency: Concurrency = Field(
        default=Concurrency(), description="How much may wait. Default: a queue of 512 rows in each pod."
    )
    scaling: Scaling = Field(
        default=Scaling(), description="How many pods. Default: from 0 to 1, 4 calls a pod."
    )
    warmup: Warmup = Field(
        default=Warmup(), description="What is computed before a pod says ready. Default: the model's own."
    )
    podTemplate: PreservedObject = Field(
        default={},
        description="Merged over the pod template (metadata, spec); containers, volumes and variables merge by name. "
        "The serving container is named model. Default: empty.",
    )
    replicas: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Pods asked for, behind the scale subresource; written by the gateway (0 to 1) and by the autoscaler, or by "
        "whom scaling.class external names. Default: 0. From 0 to 1000.",
    )


class Condition(_Part):
    """One fact about the model."""

    type: str = Field(max_length=316, description="Name of the fact: Accepted, Ready, Warm or Active.")
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


class Revision(_Part):
    """One version of the model that has pods or will have."""

    name: str = Field(description="Name of its Deployment, Service and ConfigMap: <model>-<hash>.")
    weight: int = Field(ge=0, le=100, description="Share of the calls in percent, from 0 to 100.")
    replicas: int = Field(ge=0, description="Pods that its Deployment asks for.")
    readyReplicas: int = Field(ge=0, description="Pods that answer calls.")


class ColdStart(_Part):
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


class ScaleDecision(_Part):
    """One decision of the autoscaler that changed something."""

    time: str = Field(description="When, RFC 3339 in UTC.", json_schema_extra={"format": "date-time"})
    replicas: int = Field(ge=0, description="Pods decided.")
    reason: str = Field(description="Why, one word in CamelCase.")
    message: str = Field(description="The numbers that led to it.")


class AtheriaModelStatus(_Part):
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
        "Warm (a pod is loaded and warmed up), Active (pods are asked for).",
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
    lastDecisions: list[ScaleDecision] = Field(
        default=[],
        max_length=10,
        description="The autoscaler's last changes, newest first, at most 10.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class Price(_Part):
    """What one node of this kind costs."""

    usdPerHour: str = Field(
        pattern=r"^[0-9]+(\.[0-9]+)?$",
        description="Price of one device in USD per hour, a decimal number as a string. Required.",
    )
    source: str = Field(
        default="", max_length=512, description="Where the price comes from. Default: empty, meaning unknown."
    )
    date: str = Field(
        default="", max_length=32, description="When the price was read, e.g. 2026-11. Default: empty."
    )


class HardwareProfileSpec(_Part):
    """What a kind of machine needs in a pod."""

    description: str = Field(
        default="", max_length=512, description="What it is, for people. Default: empty."
    )
    resourceName: str = Field(
        default="",
        max_length=253,
        description="Extended resource of one device, e.g. nvidia.com/gpu. Default: empty, meaning no device.",
    )
    resourcesPerUnit: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Units of resourceName per spec.hardware.count. Default: 1. From 1 to 1024.",
    )
    memoryGiB: int = Field(
        default=0, ge=0, le=100_000, description="Memory of one device in GiB. Default: 0, meaning unknown."
    )
    resources: PreservedObject = Field(
        default={},
        description="Requests and limits of the serving container besides resourceName. Default: none.",
    )
    nodeSelector: dict[str, str] = Field(
        default={}, description="Labels that a node must have. Default: none."
    )
    nodeAffinity: PreservedObject = Field(
        default={},
        description="Node affinity of the pods, as in a pod's spec.affinity.nodeAffinity. Default: none.",
    )
    tolerations: list[
        Annotated[
            dict[str, Any],
            Field(
                json_schema_extra={"x-kubernetes-preserve-unknown-fields": True, "additionalProperties": None}
            ),
        ]
    ] = Field(
        default=[],
        max_length=64,
        description="Taints that the pods tolerate, as in a pod's spec.tolerations. Default: none.",
        json_schema_extra={"x-item-description": "One toleration: key, operator, value, effect."},
    )
    image: str = Field(
        default="",
        max_length=512,
        description="Image of the server on this hardware. Default: empty, the operator's own choice.",
    )
    price: Price | None = Field(default=None, description="What one device costs. Default: unknown.")
