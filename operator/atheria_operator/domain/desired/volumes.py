"""Volumes of a model's pod beside /tmp and its configuration: the cache, the key that signs it, the model's files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import ModelIntent

_CACHE: Final = "cache"
_KEY: Final = "cache-key"
_MODEL: Final = "model"
_CLAIM: Final = "pvc://"
_IMAGE: Final = "oci://"
_GROUP_MAY_READ: Final = 0o440


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """A volume of the pod and where its container sees it."""

    volume: dict[str, Any]
    mount: dict[str, Any]


def build_volumes(intent: ModelIntent, pull_policy: str) -> tuple[Mounted, ...]:
    """What the spec asks for; `pull_policy` is that of an image with the model's files."""
    found = (_cache(intent), _key(intent), _model(intent, pull_policy))
    return tuple(mounted for mounted in found if mounted is not None)


def _cache(intent: ModelIntent) -> Mounted | None:
    if not intent.cache.volume:
        return None
    return Mounted(
        volume={"name": _CACHE, **intent.cache.volume},
        mount={"name": _CACHE, "mountPath": names.CACHE_DIRECTORY},
    )


def _key(intent: ModelIntent) -> Mounted | None:
    """A file and no variable: variables are inherited by every process, and shown in dumps and error reports."""
    if not intent.cache.secret_name:
        return None
    key = intent.cache.secret_key
    return Mounted(
        volume={
            "name": _KEY,
            "secret": {
                "secretName": intent.cache.secret_name,
                "items": [{"key": key, "path": key}],
                # The files belong to root and to the pod's fsGroup.
                "defaultMode": _GROUP_MAY_READ,
            },
        },
        mount={"name": _KEY, "mountPath": names.CACHE_KEY_DIRECTORY, "readOnly": True},
    )


def _model(intent: ModelIntent, pull_policy: str) -> Mounted | None:
    source = intent.serving.source
    if source.startswith(_CLAIM):
        claim = source.removeprefix(_CLAIM).split("/", 1)[0]
        reference: dict[str, Any] = {"claimName": claim}
        # Volumes for many readers want it here, too; but one claim cannot be both in one pod.
        if intent.cache.volume.get("persistentVolumeClaim") != {"claimName": claim}:
            reference["readOnly"] = True
        return _read_only({"persistentVolumeClaim": reference}, f"{names.MODELS_DIRECTORY}/{claim}")
    if source.startswith(_IMAGE):
        image = source.removeprefix(_IMAGE).partition("#")[0]
        reference = {"reference": image, "pullPolicy": pull_policy}
        return _read_only({"image": reference}, names.MODEL_IMAGE_DIRECTORY)
    return None


def _read_only(volume: dict[str, Any], path: str) -> Mounted:
    return Mounted(
        volume={"name": _MODEL, **volume}, mount={"name": _MODEL, "mountPath": path, "readOnly": True}
    )
