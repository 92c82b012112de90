"""What is served, on what, and how calls are counted."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from atheria_contract import names
from atheria_operator.api.types.fields import (
    SOURCE_FORMS,
    SOURCE_PATTERN,
    Bytes,
    Part,
    Preserved,
    ShortDuration,
)

AUTO_PROFILE: Final = "auto"
"""In place of a profile's name: the operator chooses."""


class Memory(Part):
    """What the model takes of a device's memory, as its author knows it."""

    weights: Bytes = Field(
        default="",
        description="Weights in fp32 (4 bytes a parameter) of one copy of the model, e.g. 6Gi; spec.precision makes them smaller. "
        "What a pod has counted (status.precision.weightBytes) goes before. With runtime custom: as its container loads them, on all "
        "its devices together. Default: empty, unknown.",
    )
    activationsPerRow: Bytes = Field(
        default="",
        description="Working memory for one row of a batch, e.g. 120Mi. Default: empty, unknown.",
    )
    cachePerRow: Bytes = Field(
        default="",
        description="Key-value cache or other state that is kept for one row of a batch, e.g. 64Mi. Default: empty, none.",
    )


HttpPath = Annotated[str, Field(pattern=r"^/[^\s]*$", max_length=256)]
MetricName = Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$", max_length=128)]


class Custom(Part):
    """What Atheria has to know of a container that is not its own."""

    readyPath: HttpPath = Field(
        default="/health",
        description="Answers GET at port 8000 with 200 once the model is loaded and warm, and not before. Default: /health.",
    )
    livePath: HttpPath = Field(
        default="/health",
        description="Answers GET at port 8000 with 200 while the server need not be started anew. Default: /health.",
    )
    inFlightMetrics: list[MetricName] = Field(
        default=[],
        max_length=8,
        description="Series at /metrics of port 8000 whose sum is the calls accepted and not answered, running and waiting, e.g. "
        "vllm:num_requests_running and vllm:num_requests_waiting: of several pods the idlest go first. Default: none, any goes. "
        "At most 8.",
    )


class Model(Part):
    """What to serve."""

    source: str = Field(
        max_length=512,
        description=f"Where the model comes from: {SOURCE_FORMS}. A claim and an image are mounted read-only, other files are "
        "fetched into spec.cache. Not a place for passwords. Required.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {"rule": f"self.matches(r'{SOURCE_PATTERN}')", "message": f"source must be {SOURCE_FORMS}"},
                {
                    "rule": r"!self.matches(r'(^|[/#])\.\.(/|$)')",
                    "message": "source must not have .. as a part of its path",
                },
                {
                    "rule": r"!self.matches(r'(?i)%2e')",
                    "message": "source must not have %2e, an encoded dot: write the dot",
                },
            ]
        },
    )
    runtime: Literal["atheria", "text", "custom"] = Field(
        default=names.RUNTIME_ATHERIA,
        description="What serves it: atheria; text, Atheria's server for causal language models (a folder with config.json, safetensors and "
        "tokenizer.json, or builtin://sceneline), whose calls share a running batch; or custom, a container of your own named model in spec.podTemplate that speaks "
        "HTTP/1.1 at port 8000 (and gRPC at 8001, if it does), told the source by $(ATHERIA_MODEL). Default: atheria.",
    )
    custom: Custom | None = Field(
        default=None,
        description="With runtime custom: how its container tells its state. Default: by /health.",
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
        description="Whether a call may be computed twice: if a worker process dies, its calls are computed again, once, and if "
        "a pod vanishes, the gateway sends its calls again, instead of failing with UNAVAILABLE. Default: false.",
    )
    memory: Memory = Field(
        default=Memory(),
        description="What it takes of a device's memory. With it the model is refused before a pod starts where it cannot fit, and "
        "hardware.profile auto chooses by it. Default: unknown, and nothing is refused.",
    )


class Hardware(Part):
    """On what to serve it."""

    profile: str = Field(
        default="cpu",
        min_length=1,
        max_length=253,
        description="Name of an AtheriaHardwareProfile (kubectl get atheriahardwareprofiles), or auto: the cheapest whose memory the "
        "model fits and on which it is not refused; chosen anew only with a new revision. Default: cpu.",
    )
    allowSpot: bool = Field(
        default=False,
        description="Whether profile auto may choose spot nodes, which the cloud may take away at short notice. Default: false.",
    )
    count: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Devices of the profile's resource per pod; 1 where the profile has none. Default: 1. From 1 to 64.",
    )


class Batching(Part):
    """How calls are computed together."""

    maxBatchSize: int = Field(
        default=8, ge=1, le=1024, description="Rows computed together at most. Default: 8. From 1 to 1024."
    )
    maxLatency: ShortDuration = Field(
        default="50ms",
        description="Longest wait for a fuller batch while the model computes, e.g. 50ms; an idle model starts at once. "
        "Default: 50ms. From 0ms to 60s.",
    )


class Concurrency(Part):
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
