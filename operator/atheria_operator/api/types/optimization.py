"""How a model is made cheaper, proved and kept: precision, compilation, warm-up, quality, cache.

The defaults are those of `atheria_contract.optimization`; a contract test holds both together.
"""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from atheria_operator.api.types.fields import (
    FUNCTION_PATTERN,
    OBJECT_NAME_PATTERN,
    LongDuration,
    Part,
    refusal,
)

Weights = Literal["fp32", "bf16", "fp16", "int8", "nf4"]
_FUNCTION_OR_EMPTY = f"^$|{FUNCTION_PATTERN}"


class Calibration(Part):
    """How the ranges of activations are learnt."""

    method: Literal["none", "dynamic", "minmax", "percentile", "smoothquant"] = Field(
        default="none",
        description="How: none, dynamic (by the range of each row as it comes), minmax (smallest and largest value), percentile (without outliers) or smoothquant (ranges "
        "moved from activations into weights). Default: none.",
    )
    samples: int = Field(
        default=16,
        ge=1,
        le=4096,
        description="Golden states that are observed. Default: 16. From 1 to 4096.",
    )


class Precision(Part):
    """What the weights are kept as."""

    policy: Literal["fp32", "bf16", "fp16", "int8", "nf4", "hierarchy", "auto"] = Field(
        default="fp32",
        description="One type for all weights (fp32, bf16, fp16, int8, nf4), hierarchy (a type for encoder, backbone and head "
        "each), or auto (the cheapest that the hardware has, that fits its memory and that passes spec.quality). "
        "Default: fp32, the model as it is.",
    )
    encoder: Weights = Field(
        default="int8",
        description="With hierarchy: type of the modules that read the input: fp32, bf16, fp16, int8 or nf4. Default: int8.",
    )
    backbone: Weights = Field(
        default="nf4",
        description="With hierarchy: type of the modules between: fp32, bf16, fp16, int8 or nf4. Default: nf4.",
    )
    head: Weights = Field(
        default="bf16",
        description="With hierarchy: type of the modules that write the output: fp32, bf16, fp16, int8 or nf4. Default: bf16.",
    )
    compute: Literal["fp32", "bf16", "fp16"] = Field(
        default="fp32",
        description="Type in which int8 and nf4 layers multiply: fp32, bf16 or fp16. Default: fp32.",
    )
    keepFp32: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        default=[],
        max_length=64,
        description="Modules that stay fp32: patterns of qualified names, such as law.out or *.norm. Default: none. At most 64.",
        json_schema_extra={
            "x-item-description": "A pattern as shells have them: * and ?, 1 to 256 characters."
        },
    )
    calibration: Calibration = Field(
        default=Calibration(),
        description="How the ranges of activations are learnt. Default: not at all.",
    )


class Compile(Part):
    """Whether the model's functions are compiled before the first call."""

    mode: Literal["off", "default", "reduce-overhead", "max-autotune", "aot", "tensorrt", "auto"] = Field(
        default="off",
        description='"off" (in quotes: YAML reads off as false), a mode of torch.compile (default, reduce-overhead, max-autotune), aot (a package by AOTInductor), '
        "tensorrt (where the image has it), or auto (the fastest, measured on the device). Default: off.",
    )
    fullgraph: bool = Field(
        default=True,
        description="Whether a function that cannot be compiled whole stops the start; false lets torch split it. Default: true.",
    )
    onMiss: Literal["eager", "refuse"] = Field(
        default="eager",
        description="What happens to a call whose shape was not compiled: eager (computed uncompiled, and counted), or refuse. "
        "Default: eager.",
    )
    rowBuckets: list[Annotated[int, Field(ge=1, le=1024)]] = Field(
        default=[],
        max_length=16,
        description="Batch sizes in rows that are compiled; a batch is filled up to the next. Default: none named, which means "
        "powers of two up to batching.maxBatchSize. At most 16.",
        json_schema_extra={"x-item-description": "A batch size in rows, from 1 to 1024."},
    )
    wait: LongDuration = Field(
        default="300s",
        description="Longest wait for another pod that compiles the same into a shared cache, before this one does it too. "
        "Default: 300s. At most 24h.",
    )


class Warmup(Part):
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
    requests: list[Annotated[str, Field(min_length=2, max_length=16_384)]] = Field(
        default=[],
        max_length=16,
        description="Requests of the Open Inference Protocol as JSON text (the body of POST /v2/models/NAME/infer), each "
        "computed once before the pod is ready. Default: none. At most 16, of 16384 characters each.",
        json_schema_extra={
            "x-item-description": 'One request: {"inputs": [{"name": ..., "datatype": ..., "shape": ..., "data": ...}]}.'
        },
    )
    hooks: list[Annotated[str, Field(pattern=FUNCTION_PATTERN, max_length=256)]] = Field(
        default=[],
        max_length=16,
        description="Functions of the image, package.module:function, each called with the LitAPI after its setup. One that "
        "raises or does not return stops the start. Default: none. At most 16.",
        json_schema_extra={"x-item-description": "package.module:function"},
    )
    hookTimeout: LongDuration = Field(
        default="60s", description="Longest time of one hook, e.g. 5m. Default: 60s. At most 24h."
    )


class Quality(Part):
    """How far a cheaper variant may be from the fp32 eager baseline."""

    model_config = ConfigDict(
        json_schema_extra=refusal(
            "self.profile != 'off' || self.allowUnvalidated",
            "profile off judges nothing: set allowUnvalidated: true to serve the variant unproven, or use default or strict",
        )
    )

    profile: Literal["default", "strict", "off"] = Field(
        default="default",
        description='Limits of the comparison: default, strict, or "off" in quotes (nothing is judged; needs allowUnvalidated). '
        "Default: default.",
    )
    limits: dict[str, Annotated[float, Field(ge=0, le=1e12)]] = Field(
        default={},
        max_length=64,
        description="Limits by metric, over those of the profile, e.g. F_16: 0.99 (at least) or C4: 0.02 (at most). "
        "Default: those of the profile. At most 64, from 0.",
    )
    metric: str = Field(
        default="",
        max_length=256,
        pattern=_FUNCTION_OR_EMPTY,
        description="Function of the image, package.module:function, that compares the outputs. Default: empty, the model's own.",
    )
    ensemble: int = Field(
        default=16,
        ge=2,
        le=1024,
        description="Golden calls that are compared. Default: 16. From 2 to 1024.",
    )
    allowUnvalidated: bool = Field(
        default=False,
        description="Whether a variant that failed, or that was not judged, is served all the same; the condition "
        "QualityAccepted says so. Default: false.",
    )


class CacheClaim(Part):
    """A persistent volume."""

    claimName: str = Field(
        max_length=253,
        pattern=OBJECT_NAME_PATTERN,
        description="Name of a PersistentVolumeClaim in the model's namespace. Required.",
    )


class CacheHostPath(Part):
    """A folder of the node."""

    path: str = Field(
        max_length=1024,
        pattern=r"^/[^\s]+$",
        description="Absolute path; made if it is missing. User 65532 must be able to write there. Required.",
    )


class CacheEmptyDir(Part):
    """A folder that lives as long as the pod."""

    sizeLimit: str = Field(
        default="",
        max_length=32,
        pattern=r"^$|^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$",
        description="Most bytes in it, e.g. 2Gi; above that the pod is evicted. Default: empty, no limit of its own.",
    )


class Cache(Part):
    """Where verdicts, compiled code and downloads outlive the process."""

    model_config = ConfigDict(
        json_schema_extra=refusal(
            "[has(self.persistentVolumeClaim), has(self.hostPath), has(self.emptyDir)].filter(given, given).size() <= 1",
            "give at most one of persistentVolumeClaim, hostPath and emptyDir",
        )
    )

    persistentVolumeClaim: CacheClaim | None = Field(
        default=None,
        description="A persistent volume, shared by the pods that can mount it. With spec.compile it needs signingSecretName. "
        "Default: none.",
    )
    hostPath: CacheHostPath | None = Field(
        default=None,
        description="A folder of the node, shared by the pods there. With spec.compile it needs signingSecretName. Namespaces "
        "that enforce Pod Security baseline or restricted refuse such pods. Default: none.",
    )
    emptyDir: CacheEmptyDir | None = Field(
        default=None,
        description="A folder of the pod: outlives a restarted container, not the pod. Default: none.",
    )
    signingSecretName: str = Field(
        default="",
        max_length=253,
        pattern=f"^$|{OBJECT_NAME_PATTERN}",
        description="Name of a Secret in the model's namespace that signs what is published in a shared cache: compiled code is "
        "executable, and only what this key signed is loaded. Mounted as a file, never a variable. Default: empty, none.",
    )
    key: str = Field(
        default="key",
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        description="Key of the Secret that holds the signing key, 16 bytes or more. Default: key.",
    )


def compiled_code_is_signed() -> dict[str, Any]:
    """The rule over spec.cache and spec.compile together, for the spec."""
    return refusal(
        "!(has(self.cache.persistentVolumeClaim) || has(self.cache.hostPath)) || self.compile.mode == 'off' "
        "|| self.cache.signingSecretName != ''",
        "compiled code is not shared unsigned: set cache.signingSecretName, or use cache.emptyDir, or compile.mode: off",
    )


def batches_are_compiled_up_to_their_size() -> dict[str, Any]:
    """The rule over spec.compile and spec.batching together, for the spec."""
    return refusal(
        "self.compile.rowBuckets.all(rows, rows <= self.batching.maxBatchSize)",
        "compile.rowBuckets has a size above batching.maxBatchSize, which no batch reaches: leave it out or raise maxBatchSize",
    )
