"""An AtheriaModel as the rest of the operator sees it: parsed once by `api.parse`, no dict digging afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import Any

from atheria_contract.serving import ServingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKey:
    """Namespace and name of a model; printed `namespace/name`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """As logs, metrics and the header `atheria-model` spell it."""
        return f"{self.namespace}/{self.name}"


class ScalingClass(StrEnum):
    """Who decides the number of pods; the words of spec.scaling.class."""

    ATHERIA = "atheria"
    HPA = "hpa"
    KEDA = "keda"
    EXTERNAL = "external"


class ScalingMetric(StrEnum):
    """What the number of pods follows; the words of spec.scaling.metric."""

    QUEUE_DEPTH = "queueDepth"
    """Offered load and what waits."""
    CONCURRENCY = "concurrency"
    """Mean of the calls held and in flight."""
    REQUESTS_PER_SECOND = "requestsPerSecond"
    LATENCY = "latency"
    """Mean seconds of a call, held and computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledMinimum:
    """A window that comes back each day or on some days of the week, and the fewest pods in it."""

    min_replicas: int
    start_minute: int
    """Minutes after midnight, local time of `zone`."""
    end_minute: int
    """Not included; at or before the start = on the next day."""
    days: frozenset[int] = frozenset(range(7))
    """Days of the week on which it begins, Monday = 0."""
    zone: tzinfo = UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPolicy:
    """Bounds, target and delays of a model's number of pods."""

    min_replicas: int = 0
    max_replicas: int = 1
    initial_replicas: int = 1
    """Pods of a model that was just created."""
    metric: ScalingMetric = ScalingMetric.QUEUE_DEPTH
    target_calls: float = 4
    """Calls, or with REQUESTS_PER_SECOND calls in a second, that one pod takes."""
    target_latency_seconds: float = 1.0
    """With LATENCY."""
    target_utilization: float = 0.85
    """Share of the target that steady load may fill, above 0 and at most 1."""
    stable_window_seconds: float = 60.0
    """Steady load is the average over this."""
    panic_window_percent: float = 10.0
    """Of the stable window: the short window that sees a burst."""
    panic_threshold: float = 2.0
    """With CONCURRENCY: the short window counts once it needs so many times the ready pods."""
    max_scale_up_rate: float = 1000.0
    """One decision goes to at most so many times the ready pods (at least one)."""
    max_scale_down_rate: float = 2.0
    """One decision keeps at least the pods divided by this; an idle model goes to its minimum at once."""
    scale_down_delay_seconds: float = 30.0
    """Fewer pods must have been enough for at least so long."""
    idle_timeout_seconds: float = 300.0
    """The last pods go after at most so long without a call."""
    weighs_cold_starts: bool = True
    """Pods are kept until keeping them has cost as much as their next start, within both bounds above."""
    waiting_usd_per_hour: float = 20.0
    """What an hour of waiting for a start costs, all callers together."""
    schedule: tuple[ScheduledMinimum, ...] = ()
    scaling_class: ScalingClass = ScalingClass.ATHERIA
    standby_replicas: int = 0
    """Pods that stay at zero, asleep; 0 = they are deleted."""

    def clamp(self, replicas: int) -> int:
        """`replicas` within the bounds."""
        return min(self.max_replicas, max(self.min_replicas, replicas))

    @property
    def sleeps(self) -> bool:
        """At zero its pods sleep instead of going."""
        return self.standby_replicas > 0

    @property
    def is_external(self) -> bool:
        """Somebody else decides: spec.replicas is copied."""
        return self.scaling_class is not ScalingClass.ATHERIA

    @property
    def panic_window_seconds(self) -> float:
        """Length of the short window."""
        return self.stable_window_seconds * self.panic_window_percent / 100


class Strategy(StrEnum):
    """How a new revision takes over; the words of spec.rollout.strategy."""

    AUTO = "auto"
    SURGE = "surge"
    SWAP = "swap"
    CANARY = "canary"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisPolicy:
    """How far a canary may be from the stable revision."""

    max_error_ratio: float = 0.02
    """Share of failed calls above that of the stable revision."""
    max_p95_ratio: float = 1.5
    max_quality_loss: float = 1.0
    """As a multiple of what the quality gate allows."""
    min_calls: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPolicy:
    """How a changed spec takes over the calls."""

    strategy: Strategy = Strategy.AUTO
    steps: tuple[int, ...] = (10, 50, 100)
    """Percent, rising to 100."""
    step_seconds: float = 60.0
    analysis: AnalysisPolicy = field(default_factory=AnalysisPolicy)
    unschedulable_seconds: float = 60.0
    waits_for_stuck_pods: bool = False
    """A swap waits for a pod that never goes, instead of going on without it."""
    is_paused: bool = False
    history_limit: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheVolume:
    """What is mounted where verdicts, compiled code and downloads are kept."""

    volume: Mapping[str, Any] = field(default_factory=dict)
    """Kind and fields as in a pod's volumes; empty = none."""
    secret_name: str = ""
    """Secret with the signing key; empty = none."""
    secret_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """What the model takes of a device's memory, as its author declared it; None = not declared."""

    weights_bytes: int | None = None
    """One copy of the weights in fp32."""
    activations_bytes_per_row: int | None = None
    cache_bytes_per_row: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomServer:
    """A container that is not ours: how it tells its state."""

    ready_path: str
    live_path: str
    in_flight_metrics: tuple[str, ...] = ()
    """Series whose sum is the calls accepted and not answered; empty = it does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIntent:
    """What the user wants, checked."""

    key: ModelKey
    uid: str
    generation: int
    serving: ServingConfig
    """What the server is told to serve."""
    profile: str
    """Name of the hardware profile, or `auto`."""
    device_count: int
    allows_spot: bool = False
    """Profile auto may take nodes that the cloud may take away."""
    memory: MemoryNeed = field(default_factory=MemoryNeed)
    pod_template: Mapping[str, Any] = field(default_factory=dict)
    """What the user merges over the pods."""
    custom: CustomServer | None = None
    """Of runtime custom; None = our server."""
    cache: CacheVolume = field(default_factory=CacheVolume)
    scaling: ScalingPolicy = field(default_factory=ScalingPolicy)
    rollout: RolloutPolicy = field(default_factory=RolloutPolicy)
    requested_replicas: int = 0
    """spec.replicas: what the scale subresource says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one device costs, and who says so."""

    usd_per_hour: Decimal
    source: str = ""
    date: str = ""

    def __str__(self) -> str:
        """As conditions and status show it."""
        origin = ", ".join(part for part in (self.source, self.date) if part)
        return f"{self.usd_per_hour} USD/h ({origin or 'source unknown'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareProfile:
    """What a kind of machine needs in a pod."""

    name: str
    resource_name: str = ""
    """Extended resource of a device; empty = none."""
    resources_per_unit: int = 1
    resources: Mapping[str, Any] = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    node_affinity: Mapping[str, Any] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    image: str = ""
    """Server image on this hardware; empty = the operator's own choice."""
    node_alternatives: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    """Ways in which clouds mark such nodes: values by label; a node matches all labels of any one."""
    is_spot: bool = False
    memory_bytes: int | None = None
    """Memory of one device; without a device, of the container. None = unknown."""
    price: Price | None = None
    """Of one device; None = unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a model cannot be served: a CamelCase word and a sentence with the next step."""

    reason: str
    message: str
    is_permanent: bool = False
    """Starting again does not mend it: the spec, or what it names, has to change."""
