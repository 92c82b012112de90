"""The pod of a model: one container that serves, on the hardware of its profile, with as few rights as it needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.custom_container import custom_metadata, custom_part
from atheria_operator.domain.desired.merge import merge_template
from atheria_operator.domain.desired.pod_tls import certificate_environment, certificate_volume
from atheria_operator.domain.desired.telemetry import Telemetry, telemetry_environment, telemetry_volume
from atheria_operator.domain.desired.volumes import Mounted, build_volumes
from atheria_operator.domain.planning.placement import build_node_affinity, build_tolerations

USER_ID: Final = 65532
GRACE_SECONDS: Final = 40
"""Above the server's own drain delay and drain timeout."""
_READY_WAIT_SECONDS: Final = 0.9
_CONFIG_VOLUME: Final = "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDefaults:
    """What the operator was told about model servers."""

    image: str
    pull_policy: str = "IfNotPresent"
    standby_key: bytes = field(default=b"", repr=False)
    """From which the tokens of models in standby follow; empty = no model may sleep."""
    pod_tls: bool = False
    """Pods speak TLS, and take calls only from who shows a certificate of Atheria's authority."""
    has_cert_manager: bool = False
    """Their certificates are cert-manager's, not the operator's own."""
    telemetry: Telemetry = field(default_factory=Telemetry)
    """Of all models' pods."""


def build_pod_template(
    intent: ModelIntent, profile: HardwareProfile, defaults: ServerDefaults
) -> dict[str, Any]:
    """The template without what names a revision: its labels and its ConfigMap come by `name_revision`."""
    mounted = build_volumes(intent, defaults.pull_policy)
    if defaults.pod_tls:
        mounted = (*mounted, certificate_volume(intent, is_cert_managers=defaults.has_cert_manager))
    if volume := telemetry_volume(defaults.telemetry):
        mounted = (*mounted, volume)
    spec: dict[str, Any] = {
        "serviceAccountName": intent.key.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(intent, profile, defaults, mounted)],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *(one.volume for one in mounted)],
    }
    if variables := telemetry_environment(intent.key, defaults.telemetry):
        container = spec["containers"][0]
        container["env"] = [*container.get("env", ()), *variables]
    if any("persistentVolumeClaim" in one.volume for one in mounted):
        # Else every start walks through all files of the volume to give them to the group.
        spec["securityContext"]["fsGroupChangePolicy"] = "OnRootMismatch"
    if profile.node_selector:
        spec["nodeSelector"] = dict(profile.node_selector)
    if node_affinity := build_node_affinity(profile):
        spec["affinity"] = {"nodeAffinity": node_affinity}
    if tolerations := build_tolerations(profile):
        spec["tolerations"] = tolerations
    metadata = custom_metadata(intent.custom) if intent.custom else {}
    return merge_template({"metadata": metadata, "spec": spec}, intent.pod_template)


def name_revision(template: dict[str, Any], labels: dict[str, str], config_map: str) -> dict[str, Any]:
    """The template of one revision: `labels` win over the user's, the configuration is mounted."""
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    spec = dict(template["spec"])
    volume = {"name": _CONFIG_VOLUME, "configMap": {"name": config_map}}
    spec["volumes"] = [*(spec.get("volumes") or []), volume]
    return {"metadata": metadata, "spec": spec}


def _container(
    intent: ModelIntent, profile: HardwareProfile, defaults: ServerDefaults, mounted: tuple[Mounted, ...]
) -> dict[str, Any]:
    return {
        "name": names.CONTAINER_MODEL,
        **(custom_part(intent, intent.custom) if intent.custom else _our_part(profile, defaults)),
        "imagePullPolicy": defaults.pull_policy,
        "ports": [
            {"name": names.PORT_NAME_GRPC, "containerPort": names.PORT_GRPC, "protocol": "TCP"},
            {"name": names.PORT_NAME_HTTP, "containerPort": names.PORT_HTTP, "protocol": "TCP"},
        ],
        "resources": _resources(intent, profile),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The server's last line says why it ended; this puts it into the pod's status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own, empty directory
            {"name": _CONFIG_VOLUME, "mountPath": names.CONFIG_DIRECTORY, "readOnly": True},
            *(one.mount for one in mounted),
        ],
    }


def _our_part(profile: HardwareProfile, defaults: ServerDefaults) -> dict[str, Any]:
    """What makes the container our server."""
    scheme = {"scheme": "HTTPS"} if defaults.pod_tls else {}
    return {
        "image": profile.image or defaults.image,
        "args": ["serve", "--config", f"{names.CONFIG_DIRECTORY}/{names.CONFIG_FILE}"],
        # Loading may take long; a server that cannot load ends by itself, so waiting costs nothing.
        # It answers as soon as the model is ready, within a period: nobody waits for the next one.
        "startupProbe": _probe(
            f"ready?{names.QUERY_READY_WAIT}={_READY_WAIT_SECONDS:g}", scheme, period_seconds=1, failures=7200
        ),
        "readinessProbe": _probe("ready", scheme, period_seconds=1, failures=2),
        "livenessProbe": _probe("live", scheme, period_seconds=10, failures=6),
        **({"env": certificate_environment()} if defaults.pod_tls else {}),
    }


def _probe(what: str, scheme: dict[str, str], *, period_seconds: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": f"/v2/health/{what}", "port": names.PORT_NAME_HTTP, **scheme},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _resources(intent: ModelIntent, profile: HardwareProfile) -> dict[str, Any]:
    resources = {key: dict(value) for key, value in profile.resources.items()}
    if profile.resource_name:
        # Extended resources cannot be overcommitted: the API server wants requests equal to limits.
        count = str(profile.resources_per_unit * intent.device_count)
        for part in ("requests", "limits"):
            resources.setdefault(part, {})[profile.resource_name] = count
    return resources
