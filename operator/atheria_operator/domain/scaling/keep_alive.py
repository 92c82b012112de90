"""How long pods are kept that nobody needs: ski rental. Called by `decide`.

Keeping costs the pod's price each second; letting go costs the next start, in which the pod is paid for and callers wait. Whoever
keeps until both are equal pays at most twice what he would pay if he knew the future (Karlin et al., "Competitive snoopy caching",
Algorithmica 3, 1988).
"""

from __future__ import annotations

from typing import Final

from atheria_operator.api.model import ScalingPolicy

ASSUMED_WAITING_RATIO: Final = 29.0
"""Cost of waiting over the price of a pod, where no price is known."""
SHORTEST_IDLE_SECONDS: Final = 60.0
"""The last pod is not let go sooner, however fast it starts, unless idleTimeout is shorter."""


def worth_seconds(
    policy: ScalingPolicy, cold_start_seconds: float | None, usd_per_pod_hour: float | None
) -> float | None:
    """Seconds of keeping a pod that cost as much as its next start; None where no start was measured or weighed."""
    if cold_start_seconds is None or not policy.weighs_cold_starts:
        return None
    ratio = ASSUMED_WAITING_RATIO
    if usd_per_pod_hour is not None and usd_per_pod_hour > 0:
        ratio = policy.waiting_usd_per_hour / usd_per_pod_hour
    return cold_start_seconds * (1 + ratio)


def hold_seconds(policy: ScalingPolicy, worth: float | None) -> float:
    """How long fewer pods must have been enough: scaleDownDelay, or longer if a start is worth it, up to idleTimeout."""
    shortest = policy.scale_down_delay_seconds
    return shortest if worth is None else max(shortest, min(worth, policy.idle_timeout_seconds))


def idle_seconds(policy: ScalingPolicy, worth: float | None) -> float:
    """How long no call must have come before the last pods go: idleTimeout, or shorter if a start is not worth it."""
    longest = policy.idle_timeout_seconds
    if worth is None:
        return longest
    return min(longest, max(worth, SHORTEST_IDLE_SECONDS, policy.scale_down_delay_seconds))
