"""What a model's pod gets to speak TLS: its certificate as files that are watched, and the names of these files."""

from __future__ import annotations

from typing import Final

from atheria_contract import names
from atheria_operator.api.model import ModelIntent, Problem
from atheria_operator.domain.certificates.stored import secret_name
from atheria_operator.domain.desired.volumes import Mounted
from atheria_operator.domain.observed import Body, Observed

_VOLUME: Final = "pod-tls"
_GROUP_MAY_READ: Final = 0o440
_FILES: Final = (names.TLS_CERT_FILE, names.TLS_KEY_FILE, names.TLS_CA_FILE)
_VARIABLES: Final = {
    names.ENV_TLS_CERT_FILE: names.TLS_CERT_FILE,
    names.ENV_TLS_KEY_FILE: names.TLS_KEY_FILE,
    names.ENV_TLS_CLIENT_CA_FILE: names.TLS_CA_FILE,
}
OWN_TLS: Final = "OwnCertificate"


def certificate_volume(intent: ModelIntent, *, is_cert_managers: bool) -> Mounted:
    """The Secret with the model's certificate. The pod waits where a file is missing, rather than starting without it."""
    items = [{"key": name, "path": name} for name in _FILES]
    return Mounted(
        volume={
            "name": _VOLUME,
            "secret": {
                "secretName": secret_name(intent.key.name, is_cert_managers=is_cert_managers),
                "items": items,
                # The files belong to root and to the pod's fsGroup.
                "defaultMode": _GROUP_MAY_READ,
            },
        },
        mount={"name": _VOLUME, "mountPath": names.TLS_DIRECTORY, "readOnly": True},
    )


def certificate_environment() -> list[dict[str, str]]:
    """Paths, as variables of the server; nothing of the key itself."""
    return [{"name": name, "value": f"{names.TLS_DIRECTORY}/{file}"} for name, file in _VARIABLES.items()]


def certificate_labels(*, has_tls: bool) -> dict[str, str]:
    """Of a pod: by them operator and scrapers know how to ask it."""
    return {names.LABEL_TLS: names.TLS_MUTUAL} if has_tls else {}


def problem_with_own_certificate(intent: ModelIntent) -> Problem | None:
    """A model whose podTemplate brings a certificate of its own would show the gateway one that it does not know."""
    spec = intent.pod_template.get("spec") or {}
    for container in spec.get("containers") or ():
        for variable in container.get("env") or ():
            if container.get("name") == names.CONTAINER_MODEL and variable.get("name") in _VARIABLES:
                return Problem(
                    reason=OWN_TLS,
                    message=f"spec.podTemplate sets {variable['name']}, and pods get their certificate from the operator here (chart "
                    "value podTls.mode): leave the variables ATHERIA_TLS_* out",
                )
    return None


def has_encrypted_pods(observed: Observed, owner_uid: str) -> bool:
    """Whether any revision of the model speaks TLS, and so needs its certificate."""
    return any(is_encrypted(body) for body in observed.deployments(owner_uid).values())


def is_encrypted(deployment: Body) -> bool:
    """Whether a revision's pods speak TLS by the operator's certificates."""
    template = (deployment.get("spec") or {}).get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    return bool(labels.get(names.LABEL_TLS) == names.TLS_MUTUAL)
