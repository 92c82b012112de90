"""The HorizontalPodAutoscaler of a model with class hpa. Called by `build_plan`.

It scales the AtheriaModel through its scale subresource, not a Deployment: a Deployment is one revision's, and a rollout would have to
hand the number from one to the next. What it writes reaches the Deployments by the scaling loop.
"""

from __future__ import annotations

import math
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import ModelIntent, ScalingPolicy
from atheria_operator.domain.interop.offer import LABEL_MODEL, metric_of, target_of
from atheria_operator.domain.names import owned_metadata

_PERIOD_SECONDS: Final = 15
"""Of a step: how often Kubernetes looks by default."""
_LONGEST_WINDOW_SECONDS: Final = 3600
"""That the API takes."""


def build_horizontal_pod_autoscaler(intent: ModelIntent) -> dict[str, Any]:
    """From one pod up, as Kubernetes needs it; the last one comes and goes without it."""
    policy = intent.scaling
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": owned_metadata(intent, intent.key.name),
        "spec": {
            "scaleTargetRef": scale_target(intent),
            "minReplicas": max(1, policy.min_replicas),
            "maxReplicas": policy.max_replicas,
            "metrics": [
                {
                    "type": "External",
                    "external": {
                        "metric": {
                            "name": metric_of(policy.metric),
                            "selector": {"matchLabels": {LABEL_MODEL: intent.key.name}},
                        },
                        "target": {"type": "AverageValue", "averageValue": quantity(target_of(policy))},
                    },
                }
            ],
            "behavior": build_behavior(policy),
        },
    }


def scale_target(intent: ModelIntent) -> dict[str, str]:
    """What others scale: the model."""
    return {"apiVersion": names.API_VERSION, "kind": names.MODEL_KIND, "name": intent.key.name}


def build_behavior(policy: ScalingPolicy) -> dict[str, Any]:
    """maxScaleUpRate, maxScaleDownRate and scaleDownDelay in the words of autoscaling/v2."""
    return {
        "scaleUp": _rules(0, math.floor(100 * (policy.max_scale_up_rate - 1))),
        "scaleDown": _rules(
            min(_LONGEST_WINDOW_SECONDS, math.ceil(policy.scale_down_delay_seconds)),
            math.ceil(100 * (1 - 1 / policy.max_scale_down_rate)),
        ),
    }


def quantity(value: float) -> str:
    """As Kubernetes writes it: thousandths where it is not whole. At least one, since nothing can be divided by zero."""
    thousandths = max(1, round(1000 * value))
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def _rules(window_seconds: int, percent: int) -> dict[str, Any]:
    return {
        "stabilizationWindowSeconds": window_seconds,
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": max(1, percent), "periodSeconds": _PERIOD_SECONDS}],
    }
