"""Whether every gateway pod can speak TLS to model pods: before that no running model may be changed to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

GATEWAY_VOLUME: Final = "pod-tls"
"""Of a gateway's pod that has a certificate for model pods."""
_DEFAULT_GRACE_SECONDS: Final = 30.0


def grace_seconds(gateway: Mapping[str, Any]) -> float:
    """How long a gateway pod that was told to go may still serve calls."""
    spec = gateway["spec"]["template"]["spec"]
    return float(spec.get("terminationGracePeriodSeconds") or _DEFAULT_GRACE_SECONDS)


def has_certificates(gateway: Mapping[str, Any], secret: str) -> bool:
    """Whether the Deployment gives its pods the certificate in `secret`, and no older pod is left but such as are told to go.

    Another Secret is that of another mode, whose certificates model pods of this one do not take.
    """
    volumes = gateway["spec"]["template"]["spec"].get("volumes") or ()
    mounted = [volume.get("secret") or {} for volume in volumes if volume.get("name") == GATEWAY_VOLUME]
    if not any(one.get("secretName") == secret for one in mounted):
        return False
    status = gateway.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(gateway["metadata"].get("generation") or 0):
        return False
    pods = int(status.get("replicas") or 0)
    return pods == int(status.get("updatedReplicas") or 0) and not status.get("unavailableReplicas")
