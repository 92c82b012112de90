"""What servers made of the model before they took calls: quality, precision, compiled code and warm-up in the status."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Literal

from pydantic import Field

from atheria_operator.api.types.fields import Part


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
