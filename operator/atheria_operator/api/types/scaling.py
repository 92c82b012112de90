"""How many pods: spec.scaling."""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Final, Literal

from pydantic import ConfigDict, Field

from atheria_operator.api.types.fields import LongDuration, Part, refusal, refusals

CLOCK_PATTERN: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
DAYS: Final[tuple[Day, ...]] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class ScheduledMinimum(Part):
    """A window in which there are at least so many pods."""

    model_config = ConfigDict(
        json_schema_extra=refusal(
            "self.start != self.end", "start and end must differ: the whole day is 00:00 to 23:59"
        )
    )

    days: list[Day] = Field(
        default=list(DAYS),
        min_length=1,
        max_length=7,
        description="Days on which the window begins: Mon, Tue, Wed, Thu, Fri, Sat, Sun. Default: all 7. At least 1, at most 7.",
        json_schema_extra={"x-kubernetes-list-type": "set", "x-item-description": "Day of the week."},
    )
    start: str = Field(
        pattern=CLOCK_PATTERN,
        max_length=5,
        description="When it begins on the wall clock, HH:MM; early enough for a start to be over. Required.",
    )
    end: str = Field(
        pattern=CLOCK_PATTERN,
        max_length=5,
        description="When it ends, HH:MM; before the start = on the next day. Required.",
    )
    timeZone: str = Field(
        default="UTC",
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_+/-]+$",
        description="Name of the time zone, e.g. Europe/Madrid. Default: UTC.",
    )
    minReplicas: int = Field(
        ge=1,
        le=1000,
        description="Fewest pods in the window; the highest of several windows counts. From 1 to 1000, not above maxReplicas. Required.",
    )


class ScaleToZero(Part):
    """What becomes of the pods of a model that nobody calls."""

    mode: Literal["delete", "sleep"] = Field(
        default="delete",
        description="delete: they go, and the next call starts one. sleep: standbyReplicas of them stay, loaded, not ready, with the "
        "memory of their device freed as far as possible; the next call wakes one within about a second. A pod that sleeps keeps the "
        "device that it asked for, and costs as much as one that serves. A change is a new revision. Needs the operator's standby key "
        "(chart value standby.secretName), minReplicas 0 and class atheria. Default: delete.",
    )
    standbyReplicas: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="With mode sleep: pods that are always there, awake or asleep. Not above maxReplicas. Default: 1. From 1 to 1000.",
    )


class Scaling(Part):
    """How many pods."""

    model_config = ConfigDict(
        json_schema_extra=refusals(
            refusal(
                "self.minReplicas <= self.maxReplicas",
                "minReplicas must not be above maxReplicas: lower minReplicas or raise maxReplicas",
            ),
            refusal(
                "self.metric != 'latency' || !(self.class in ['hpa', 'keda'])",
                "metric latency needs class atheria: HPA and KEDA divide a sum by a target",
            ),
            refusal(
                "self.scaleToZero.mode != 'sleep' || self.minReplicas == 0",
                "scaleToZero.mode sleep needs minReplicas 0: with a minimum no pod ever sleeps",
            ),
            refusal(
                "self.scaleToZero.mode != 'sleep' || self.class == 'atheria'",
                "scaleToZero.mode sleep needs class atheria: others know of no pods that sleep",
            ),
            refusal(
                "self.scaleToZero.mode != 'sleep' || self.scaleToZero.standbyReplicas <= self.maxReplicas",
                "scaleToZero.standbyReplicas must not be above maxReplicas: lower it or raise maxReplicas",
            ),
            refusal(
                "self.schedule.all(window, window.minReplicas <= self.maxReplicas)",
                "schedule[].minReplicas must not be above maxReplicas: lower it or raise maxReplicas",
            ),
        )
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
    metric: Literal["queueDepth", "concurrency", "requestsPerSecond", "latency"] = Field(
        default="queueDepth",
        description="What the number of pods follows. queueDepth: the load that arrives (calls a second x seconds of work, both "
        "measured) and the calls that wait. concurrency: the mean of calls held and in flight, as Knative. requestsPerSecond: calls a "
        "second. latency: the mean time of a call against latencyTarget. Default: queueDepth.",
    )
    target: int = Field(
        default=4,
        ge=1,
        le=100_000,
        description="What one pod takes: calls at a time, or calls a second with metric requestsPerSecond. Default: 4. From 1 to 100000.",
    )
    latencyTarget: LongDuration = Field(
        default="1s",
        description="With metric latency: mean time of a call from its arrival to its answer, e.g. 500ms. Default: 1s. At most 24h.",
    )
    targetUtilization: int = Field(
        default=85,
        ge=1,
        le=100,
        description="Percent of target that steady load may fill; for few pods more room is left for chance, except at 100. Default: 85. "
        "From 1 to 100.",
    )
    stableWindow: LongDuration = Field(
        default="60s",
        description="Time over which steady load is averaged. Default: 60s. From 6s to 1h.",
        json_schema_extra=refusal(
            "duration(self) >= duration('6s') && duration(self) <= duration('1h')",
            "stableWindow must be from 6s to 1h",
        ),
    )
    panicWindowPercent: int = Field(
        default=10,
        ge=1,
        le=100,
        description="Length of the window that sees bursts, in percent of stableWindow. Default: 10, which is 6 s of 60. From 1 to 100.",
    )
    panicThreshold: float = Field(
        default=2,
        ge=1.1,
        le=10,
        description="With metric concurrency: the short window counts once it needs so many times the ready pods; nothing is taken away "
        "for a stableWindow after. Default: 2. From 1.1 to 10.",
    )
    maxScaleUpRate: float = Field(
        default=1000,
        ge=1.1,
        le=1000,
        description="One decision goes to at most so many times the ready pods, at least one. Default: 1000. From 1.1 to 1000.",
    )
    maxScaleDownRate: float = Field(
        default=2,
        ge=1.1,
        le=1000,
        description="One decision keeps at least the pods divided by this; an idle model goes to minReplicas at once. Default: 2. "
        "From 1.1 to 1000.",
    )
    scaleDownDelay: LongDuration = Field(
        default="30s",
        description="Time that fewer pods must have been enough before one is taken away, at least; longer where keepAlive says so. "
        "Default: 30s. At most 24h.",
    )
    idleTimeout: LongDuration = Field(
        default="5m",
        description="Time without any call after which the model goes to minReplicas, at most; sooner where keepAlive says so, but not "
        "before a minute. Default: 5m. At most 24h.",
    )
    scaleToZero: ScaleToZero = Field(
        default=ScaleToZero(),
        description="What becomes of the last pods when nobody calls. Default: they are deleted.",
    )
    keepAlive: Literal["coldStart", "idleTimeout"] = Field(
        default="coldStart",
        description="How long pods are kept that nobody needs. coldStart: until that has cost as much as their next start, as measured "
        "and priced, between scaleDownDelay and idleTimeout. idleTimeout: exactly scaleDownDelay, and the last pods idleTimeout. "
        "Default: coldStart.",
    )
    waitingUsdPerHour: float = Field(
        default=20,
        ge=0,
        le=1_000_000,
        description="With keepAlive coldStart: what an hour of waiting for a start costs, all callers together, in USD, against the "
        "hardware profile's price. Default: 20. From 0 to 1000000.",
    )
    schedule: list[ScheduledMinimum] = Field(
        default=[],
        max_length=16,
        description="Windows of the day with a minimum of pods of their own, e.g. office hours. Default: none. At most 16.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    scalingClass: Literal["atheria", "hpa", "keda", "external"] = Field(
        default="atheria",
        alias="class",
        description="Who decides the number of pods: atheria (from calls), hpa (a HorizontalPodAutoscaler that the operator makes; the "
        "last pod goes and comes as with atheria), keda (a ScaledObject that the operator makes), or external (spec.replicas, as "
        "anybody writes it through the scale subresource). Default: atheria.",
    )
