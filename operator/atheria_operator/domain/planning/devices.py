"""Whole GPUs and MIG slices in one pod: the device plugin gives no such pod anything, and says nothing; called by `planning.choice`."""

from __future__ import annotations

from typing import Final

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent, Problem

DEVICE_CONFLICT: Final = "DeviceConflict"
_WHOLE: Final = "nvidia.com/gpu"
_MIG: Final = "nvidia.com/mig-"


def device_problem(intent: ModelIntent, profile: HardwareProfile) -> Problem | None:
    """Devices that the profile lacks, or of two kinds."""
    if intent.device_count > 1 and not profile.resource_name:
        return Problem(
            reason=DEVICE_CONFLICT,
            message=f"spec.hardware.count is {intent.device_count}, but profile {profile.name!r} has no device: set count to 1, "
            "or choose a profile with a resourceName",
        )
    kinds = sorted({_kind(name) for name in _devices(intent, profile)} - {""})
    if len(kinds) > 1:
        return Problem(
            reason=DEVICE_CONFLICT,
            message=f"profile {profile.name!r} and spec.podTemplate together ask for {' and '.join(kinds)}: a pod gets whole GPUs or "
            f"slices of one size, never both; remove the device from the resources in spec.podTemplate, the profile gives "
            f"{profile.resource_name or 'none'}",
        )
    return None


def _devices(intent: ModelIntent, profile: HardwareProfile) -> set[str]:
    containers = (intent.pod_template.get("spec") or {}).get("containers") or ()
    asked = {
        name
        for container in containers
        if container.get("name") == names.CONTAINER_MODEL
        for part in ("requests", "limits")
        for name in (container.get("resources") or {}).get(part) or {}
    }
    return asked | {profile.resource_name}


def _kind(resource: str) -> str:
    return resource if resource == _WHOLE or resource.startswith(_MIG) else ""
