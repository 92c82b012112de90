"""An AtheriaModel as the rest of the operator sees it: parsed once by `api.parse`, no dict digging afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPolicy:
    """Bounds and delays of a model's number of pods."""

    min_replicas: int = 0
    max_replicas: int = 1
    initial_replicas: int = 1
    """Pods of a model that was just created."""
    target_calls: int = 4
    """Calls per pod to aim at."""
    idle_timeout_seconds: float = 60.0
    scale_down_delay_seconds: float = 30.0
    is_external: bool = False
    """Somebody else decides: spec.replicas is copied."""

    def clamp(self, replicas: int) -> int:
        """`replicas` within the bounds."""
        return min(self.max_replicas, max(self.min_replicas, replicas))


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
