"""On which nodes a profile's pods may run: node affinity by alternatives, and spot nodes; called by `desired.pod_template`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from atheria_operator.api.model import HardwareProfile

REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_SPOT_LABELS: Final[tuple[Mapping[str, tuple[str, ...]], ...]] = (
    {"cloud.google.com/gke-spot": ("true",)},
    {"karpenter.sh/capacity-type": ("spot",)},
    {"eks.amazonaws.com/capacityType": ("SPOT",)},
    {"kubernetes.azure.com/scalesetpriority": ("spot",)},
)
"""How GKE, Karpenter, EKS node groups and AKS mark nodes that they may take away."""
_SPOT_TAINTS: Final = (
    ("cloud.google.com/gke-spot", "true"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
)
"""GKE and AKS put these on them; on EKS there is none unless somebody sets one, which the profile's tolerations name."""
Labels = Mapping[str, tuple[str, ...]]


def build_node_affinity(profile: HardwareProfile) -> dict[str, Any]:
    """affinity.nodeAffinity; empty where any node will do. Terms are alternatives, the expressions of one all hold."""
    affinity = dict(profile.node_affinity)
    terms: list[Mapping[str, Any]] = [
        {"matchExpressions": _expressions(labels)} for labels in profile.node_alternatives
    ] or list((affinity.get(REQUIRED) or {}).get("nodeSelectorTerms") or ())
    if profile.is_spot:
        terms = [
            {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), *_expressions(spot)]}
            for term in terms or [{}]
            for spot in _SPOT_LABELS
        ]
    if terms:
        affinity[REQUIRED] = {"nodeSelectorTerms": [dict(term) for term in terms]}
    return affinity


def build_tolerations(profile: HardwareProfile) -> list[dict[str, Any]]:
    """The profile's, and those of spot nodes."""
    tolerations = [dict(toleration) for toleration in profile.tolerations]
    if profile.is_spot:
        tolerations.extend(
            {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}
            for key, value in _SPOT_TAINTS
        )
    return tolerations


def _expressions(labels: Labels) -> list[dict[str, Any]]:
    return [{"key": key, "operator": "In", "values": list(values)} for key, values in labels.items()]
