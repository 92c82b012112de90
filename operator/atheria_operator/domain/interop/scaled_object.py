"""KEDA's ScaledObject of a model with class keda. Called by `runtime.scaled_objects`.

KEDA asks the operator by its externalscaler protocol; what it has to know for that stands in the trigger's metadata, so that the answer
to GetMetricSpec needs no state. As with hpa it scales the AtheriaModel, not a Deployment.
"""

from __future__ import annotations

import math
from typing import Any, Final

from atheria_operator.api.model import ModelIntent
from atheria_operator.domain.interop.horizontal_pod_autoscaler import build_behavior, scale_target
from atheria_operator.domain.interop.offer import metric_of, target_of
from atheria_operator.domain.names import owned_metadata

API_VERSION: Final = "keda.sh/v1alpha1"
KIND: Final = "ScaledObject"
POLL_SECONDS: Final = 5
"""Should a push be missed."""
META_MODEL: Final = "model"
META_METRIC: Final = "metric"
META_TARGET: Final = "target"


def build_scaled_object(intent: ModelIntent, scaler_address: str) -> dict[str, Any]:
    """`scaler_address` is host:port of the operator's external scaler, as KEDA reaches it."""
    policy = intent.scaling
    idle_seconds = math.ceil(policy.idle_timeout_seconds)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": owned_metadata(intent, intent.key.name),
        "spec": {
            "scaleTargetRef": scale_target(intent),
            "minReplicaCount": policy.min_replicas,
            "maxReplicaCount": policy.max_replicas,
            "pollingInterval": POLL_SECONDS,
            "cooldownPeriod": idle_seconds,
            # Without it pods that run when KEDA takes over would go at once.
            "initialCooldownPeriod": idle_seconds,
            "advanced": {
                "restoreToOriginalReplicaCount": False,
                "horizontalPodAutoscalerConfig": {"behavior": build_behavior(policy)},
            },
            "triggers": [
                {
                    "type": "external-push",
                    "metricType": "AverageValue",
                    "metadata": {
                        "scalerAddress": scaler_address,
                        META_MODEL: intent.key.name,
                        META_METRIC: metric_of(policy.metric),
                        META_TARGET: f"{target_of(policy):g}",
                    },
                }
            ],
        },
    }
