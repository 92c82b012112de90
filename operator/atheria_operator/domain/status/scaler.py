"""Who decides the number of pods, where it is not this operator: the condition ScalerReady. Called by the reconcile loop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from atheria_operator.api.model import Problem, ScalingClass
from atheria_operator.domain.observed import Body
from atheria_operator.domain.status.conditions import SCALER_READY, Condition, Truth

EXTERNAL: Final = "External"
HPA: Final = "HorizontalPodAutoscaler"
KEDA: Final = "Keda"
WAITING: Final = "WaitingForAutoscaler"
_REASON: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_FAILED_METRIC: Final = "FailedGetExternalMetric"
_NEXT: Final = {
    _FAILED_METRIC: "set the chart value operator.externalMetrics.enabled=true, or have another adapter serve the metric",
}
_NEXT_OF_KEDA: Final = {
    _FAILED_METRIC: "KEDA's metrics server has to serve it: kubectl get apiservice v1beta1.external.metrics.k8s.io",
}


def of_external() -> Condition:
    """Anybody writes spec.replicas."""
    return _condition(
        "True",
        EXTERNAL,
        "whoever writes spec.replicas decides, by kubectl scale or the scale subresource; the operator only hands it to the pods",
    )


def of_horizontal_pod_autoscaler(live: Body | None) -> Condition:
    """The model's own, as it is observed."""
    found = _conditions(live).get("ScalingActive")
    if found is None:
        return _condition(
            "Unknown", WAITING, "the model's HorizontalPodAutoscaler has not been looked at yet"
        )
    if found.get("status") == "True" or found.get("reason") == "ScalingDisabled":
        return _condition(
            "True",
            HPA,
            "a HorizontalPodAutoscaler decides from one pod up; at zero a call wakes the model, and the last pod goes as with class "
            "atheria",
        )
    return _failed(found, _NEXT)


def of_scaled_object(live: Body | None, problem: Problem | None) -> Condition:
    """The model's own as it was read, or why there is none."""
    if problem is not None:
        return _condition("False", problem.reason, problem.message)
    conditions = _conditions(live)
    ready = conditions.get("Ready")
    if ready is None or ready.get("status") == "Unknown":
        return _condition("Unknown", WAITING, "KEDA has not looked at the model's ScaledObject yet")
    # The second is KEDA's word on its HorizontalPodAutoscaler, from 2.21 on; before, Ready was False with it.
    for one in (ready, conditions.get("HPAActive", {})):
        if one.get("status") == "False":
            return _failed(one, _NEXT_OF_KEDA)
    return _condition(
        "True", KEDA, "KEDA decides, also to and from zero; a call at zero wakes the model in any case"
    )


def scaler_before(status: Mapping[str, Any]) -> tuple[Condition, ...]:
    """As it is stored, for a round that cannot look."""
    return tuple(
        Condition(type=SCALER_READY, status=one["status"], reason=one["reason"], message=one["message"])
        for one in status.get("conditions") or ()
        if one.get("type") == SCALER_READY
    )


def class_before(status: Mapping[str, Any]) -> str:
    """Whose objects may exist, as it is stored."""
    return str(status.get("scaledBy") or ScalingClass.ATHERIA.value)


def _conditions(live: Body | None) -> dict[str, Mapping[str, Any]]:
    found = ((live or {}).get("status") or {}).get("conditions") or ()
    return {str(one.get("type")): one for one in found if isinstance(one, Mapping)}


def _failed(told: Mapping[str, Any], next_steps: Mapping[str, str]) -> Condition:
    """An autoscaler's own words, and what to do where it is known."""
    reason, words = _word(told.get("reason"), WAITING), str(told.get("message") or "")
    step = next_steps.get(reason)
    return _condition("False", reason, f"{words}; {step}" if step else words)


def _word(value: Any, otherwise: str) -> str:
    """Somebody else's reason, where it is one that the API takes."""
    return value if isinstance(value, str) and _REASON.fullmatch(value) else otherwise


def _condition(status: Truth, reason: str, message: str) -> Condition:
    return Condition(type=SCALER_READY, status=status, reason=reason, message=message)
