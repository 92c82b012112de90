"""How a model is made cheaper, proved and kept: the sections of a `ServingConfig` that `atheria_server.optimize` obeys.

The operator renders them from `spec.precision`, `spec.compile`, `spec.warmup`, `spec.quality` and `spec.cache`; outside
a cluster the command line does. Values are checked where they are used: here are only names, types and defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

PRECISIONS: Final = ("fp32", "bf16", "fp16", "int8", "nf4")
"""What the weights of a group may be kept as."""
POLICIES: Final = (*PRECISIONS, "hierarchy", "auto")
COMPUTE_TYPES: Final = ("fp32", "bf16", "fp16")
CALIBRATIONS: Final = ("none", "dynamic", "minmax", "percentile", "smoothquant")
COMPILE_MODES: Final = ("off", "default", "reduce-overhead", "max-autotune", "aot", "tensorrt", "auto")
ON_MISS: Final = ("eager", "refuse")
QUALITY_PROFILES: Final = ("default", "strict", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationConfig:
    """How the ranges of activations are learnt."""

    method: str = "none"
    """One of CALIBRATIONS: `none` = activations are not rounded, `dynamic` = by the range of each row as it comes, the others
    by ranges learnt from golden states."""
    samples: int = 16
    """Golden states that are observed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionConfig:
    """What the weights are kept as, by group of modules."""

    policy: str = "fp32"
    """One of POLICIES. `auto` takes the cheapest that fits and passes the quality gate."""
    encoder: str = "int8"
    """For `hierarchy`: the modules that read the input."""
    backbone: str = "nf4"
    """For `hierarchy`: the modules between."""
    head: str = "bf16"
    """For `hierarchy`: the modules that write the output."""
    compute: str = "fp32"
    """Type in which int8 and nf4 layers multiply, one of COMPUTE_TYPES; what they return has the type that they were given."""
    keep_fp32: tuple[str, ...] = ()
    """Patterns (fnmatch) of qualified module names that stay as they are."""
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileConfig:
    """Whether and how the model's functions are compiled before the first call."""

    mode: str = "off"
    """One of COMPILE_MODES."""
    fullgraph: bool = True
    """A function that cannot be compiled whole is an error; false lets torch split it."""
    on_miss: str = "eager"
    """A layout that was not warmed up: computed `eager` and counted, or `refuse`d."""
    row_buckets: tuple[int, ...] = ()
    """Batch sizes that are compiled; empty = powers of two up to the largest batch. Batches are filled up to the next."""
    wait_seconds: float = 300.0
    """Longest wait for another pod that compiles the same, before this one does it too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupConfig:
    """What runs before the server says ready, beside `warmup_shapes`."""

    requests: tuple[str, ...] = ()
    """Requests of the protocol as JSON (the body of REST's `infer`), each computed once alone."""
    hooks: tuple[str, ...] = ()
    """`package.module:function`, each called with the LitAPI after its setup, in the worker."""
    hook_timeout_seconds: float = 60.0
    """Longest time of one hook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityConfig:
    """How far a cheaper variant may be from the fp32 eager baseline."""

    profile: str = "default"
    """One of QUALITY_PROFILES; `off` judges nothing and needs `allow_unvalidated`."""
    limits: dict[str, float] = field(default_factory=dict)
    """Metric -> limit, over those of the profile, e.g. `{"F_16": 0.99, "C4": 0.02}`."""
    metric: str = ""
    """`package.module:function` that compares outputs instead of the model's own comparison."""
    ensemble: int = 16
    """Golden calls, at least 2."""
    allow_unvalidated: bool = False
    """Serve a variant that failed or was not judged; the status says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheConfig:
    """Where verdicts, compiled code and downloads outlive the pod."""

    directory: str = ""
    """A mounted folder; empty = a temporary one of this process."""
    key_file: str = ""
    """File with the secret that signs what is published; compiled code from a shared folder needs it."""
    is_shared: bool = False
    """Others write there too (a persistent volume, a folder of the node)."""
