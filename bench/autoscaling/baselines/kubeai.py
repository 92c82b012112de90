"""KubeAI: a mean of ten minutes over a target, down only after agreement for the delay; zero to one by its proxy.

Source: substratusai/kubeai, internal/modelautoscaler/autoscaler.go and internal/modelclient/scale.go (2025-07): each 10 s desired =
ceil(mean of 60 samples of active requests / targetRequests); scale-down after ceil(scaleDownDelay / 10 s) consecutive lower
results (default 30 s); any proxy replica raises 0 to 1 at the first request.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from atheria_operator.simulation.policy import Fleet, Sample


def kubeai_replicas(*, samples: Sequence[float], window: int, target: float) -> int:
    """ceil(mean / target) over a window that begins filled with zeros."""
    return math.ceil(sum(samples) / window / target)


@dataclass(slots=True, kw_only=True)
class KubeAi:
    """The leader's loop."""

    target: float
    window: int = 60
    scale_down_delay_seconds: float = 30.0
    name: str = "KubeAI"
    first_replicas: int = 0
    tick_seconds: float = 10.0
    _samples: deque[float] = field(default_factory=deque)
    _calls: int = 0
    _lower: int = 0

    def see(self, sample: Sample) -> None:
        """Requests active now, those held included."""
        self._calls = sample.calls

    def decide(self, fleet: Fleet, now_seconds: float) -> int:  # noqa: ARG002 - the protocol's
        """One round."""
        self._samples.append(self._calls)
        if len(self._samples) > self.window:
            self._samples.popleft()
        wanted = kubeai_replicas(samples=self._samples, window=self.window, target=self.target)
        if wanted >= fleet.requested:
            self._lower = 0
            return wanted
        self._lower += 1
        if self._lower < math.ceil(self.scale_down_delay_seconds / self.tick_seconds):
            return fleet.requested
        self._lower = 0
        return wanted

    def wake(self, fleet: Fleet, now_seconds: float) -> int:  # noqa: ARG002 - the protocol's
        """The proxy that holds the request."""
        return max(1, fleet.requested)

    def restart(self) -> None:
        """The averages are kept in a ConfigMap; the count of lower rounds is lost."""
        self._lower = 0
