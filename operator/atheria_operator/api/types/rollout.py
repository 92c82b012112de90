"""How a new revision takes over the calls: spec.rollout and status.rollout."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from atheria_operator.api.types.fields import LongDuration, Part, refusal


class Analysis(Part):
    """How far a canary may be from the stable revision."""

    maxErrorRatio: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="Share of failed calls that the canary may have more than the stable revision, 0.02 = 2 of 100. Failed is what "
        "the server is at fault for: HTTP 5xx and their gRPC counterparts. Default: 0.02. From 0 to 1.",
    )
    maxP95Ratio: float = Field(
        default=1.5,
        ge=1,
        le=100,
        description="Most that the canary's 95th percentile of latency may be, as a multiple of the stable revision's. "
        "Default: 1.5. From 1 to 100.",
    )
    maxQualityLoss: float = Field(
        default=1,
        ge=0,
        le=1000,
        description="Most that a quality metric of the canary may be worse than the stable revision's, as a multiple of what its "
        "quality gate allows: with errors of at most 0.05 allowed and 1 here, 0.05 more; 0 = no worse at all. Both measure "
        "against their fp32 baselines. Default: 1. From 0 to 1000.",
    )
    minCalls: int = Field(
        default=20,
        ge=0,
        le=1_000_000,
        description="Calls that the canary must have answered in a step before it is judged and before the next step; 0 goes by "
        "time alone. Default: 20. From 0 to 1000000.",
    )


class Rollout(Part):
    """How a changed spec takes over the calls."""

    model_config = ConfigDict(
        json_schema_extra=refusal(
            "self.steps[self.steps.size() - 1] == 100 && self.steps.all(a, self.steps.exists_one(b, b == a)) && "
            "self.steps.all(a, self.steps.filter(b, b < a).size() <= self.steps.indexOf(a))",
            "steps must rise and end with 100, e.g. [10, 50, 100]",
        )
    )

    strategy: Literal["auto", "surge", "swap", "canary"] = Field(
        default="auto",
        description="surge (the new revision starts beside the old one and takes all calls once it is ready), swap (calls are held "
        "while the old pods end and the new ones start: for a device that holds one pod only), canary (steps, each compared with "
        "the old revision), or auto (surge; swap once a new pod has found no node for unschedulableAfter). Default: auto.",
    )
    steps: list[Annotated[int, Field(ge=1, le=100)]] = Field(
        default=[10, 50, 100],
        min_length=1,
        max_length=20,
        description="With canary: percent of the calls at each step, rising to 100. Default: [10, 50, 100]. At most 20.",
        json_schema_extra={"x-item-description": "Percent of the calls, from 1 to 100."},
    )
    stepDuration: LongDuration = Field(
        default="60s", description="With canary: least time of a step, e.g. 5m. Default: 60s. At most 24h."
    )
    analysis: Analysis = Field(
        default=Analysis(),
        description="With canary: what it is compared by; one that is worse gets no more calls. Default: 2 of 100 more failed "
        "calls, 1.5 times the 95th percentile, after 20 calls; a quality that is worse by what its gate allows.",
    )
    unschedulableAfter: LongDuration = Field(
        default="60s",
        description="With auto: how long a new pod may find no node before the old ones make room; with a swap also how long the "
        "new pods may, before the old revision comes back. Default: 60s. At most 24h.",
    )
    stuckPods: Literal["skip", "wait"] = Field(
        default="skip",
        description="With a swap: what to do about an old pod that is still there 30 s after its terminationGracePeriodSeconds, such "
        "as one on a lost node. skip (the new pods start where the scheduler finds a free device; the old one's counts as taken as "
        "long as it is there) or wait (until it is gone). Default: skip.",
    )
    pause: bool = Field(
        default=False,
        description="Whether a rollout stays where it is, as the annotation atheria.dev/rollout=paused; a failing revision is still "
        "given up. Default: false.",
    )
    revisionHistoryLimit: int = Field(
        default=2,
        ge=0,
        le=20,
        description="Old revisions that are kept without pods, to go back to. Default: 2. From 0 to 20.",
    )


class LatencyBucket(Part):
    """Calls that took about as long."""

    upToSeconds: float = Field(ge=0, description="Longest of them, in seconds.")
    calls: int = Field(ge=0, description="How many.", json_schema_extra={"format": "int64"})


class CountedCalls(Part):
    """What the gateways counted of one revision in a canary's step."""

    revision: str = Field(description="Name of the revision.")
    calls: int = Field(ge=0, description="Answered calls.", json_schema_extra={"format": "int64"})
    errors: int = Field(
        ge=0,
        description="Those of them that failed by the server's fault.",
        json_schema_extra={"format": "int64"},
    )
    p95Seconds: float | None = Field(
        default=None,
        ge=0,
        description="Time that 95 of 100 calls do not exceed, in seconds; absent without timed calls.",
    )
    latency: list[LatencyBucket] = Field(
        default=[],
        max_length=256,
        description="Calls by their time, not cumulative, at most 256 buckets.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class RolloutStatus(Part):
    """Where a rollout is; the operator reads it back after a restart."""

    phase: Literal[
        "Complete",
        "Starting",
        "WaitingForReady",
        "CanaryStep",
        "Draining",
        "Swapping",
        "RolledBack",
    ] = Field(description="As the reason of the condition Progressing.")
    candidate: str | None = Field(
        default=None, description="Name of the revision that is to take over; absent = none."
    )
    step: int | None = Field(default=None, ge=0, description="Index of the canary's step, from 0.")
    since: str | None = Field(
        default=None,
        description="When phase and step began, RFC 3339 in UTC.",
        json_schema_extra={"format": "date-time"},
    )
    proven: bool = Field(description="Whether the active revision has had a ready pod since it took over.")
    history: list[str] = Field(
        default=[],
        max_length=64,
        description="Names of revisions that were active and ready before, newest first, at most 64.",
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            "x-item-description": "Name of a revision.",
        },
    )
    returned: str | None = Field(
        default=None, description="Name of the revision that was given up; absent = none."
    )
    cause: str | None = Field(default=None, description="Why, in the words of who refused or measured.")
    promoted: str | None = Field(
        default=None, description="Name of the revision that skips the steps, as the annotation says."
    )
    answered: str | None = Field(
        default=None, description="Value of the annotation atheria.dev/rollout that was obeyed."
    )
    counted: list[CountedCalls] = Field(
        default=[],
        max_length=2,
        description="Calls of the canary's step so far, of the stable revision and of the candidate; at most 2.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["revision"]},
    )
    countedAt: str | None = Field(
        default=None,
        description="When counted was written, RFC 3339 in UTC: every 10 s, and with every other change.",
        json_schema_extra={"format": "date-time"},
    )
