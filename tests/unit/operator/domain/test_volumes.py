"""Volumes of a model's pod: the cache, the key that signs it, the model's files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from atheria_contract import names
from atheria_operator.api.model import HardwareProfile, ModelIntent
from atheria_operator.domain.desired.pod_template import ServerDefaults, build_pod_template

Intents = Callable[..., ModelIntent]
Mounts = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


@pytest.fixture
def pod(intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults) -> Callable[..., Mounts]:
    """(volumes by name, mounts by name, pod spec) of a spec."""

    def build(**spec: Any) -> Mounts:
        found = build_pod_template(intent(**spec), cpu, defaults)["spec"]
        volumes = {volume["name"]: volume for volume in found["volumes"]}
        mounts = {mount["name"]: mount for mount in found["containers"][0]["volumeMounts"]}
        return volumes, mounts, found

    return build


def test_without_a_cache_there_is_only_the_temporary_folder(pod: Callable[..., Mounts]) -> None:
    volumes, mounts, spec = pod()
    assert list(volumes) == ["tmp"]
    assert set(mounts) == {"tmp", "config"}
    assert "fsGroupChangePolicy" not in spec["securityContext"]


def test_a_claim_is_mounted_for_the_group_of_the_pod_and_its_key_is_a_file_for_that_group_only(
    pod: Callable[..., Mounts],
) -> None:
    volumes, mounts, spec = pod(
        cache={"persistentVolumeClaim": {"claimName": "shared"}, "signingSecretName": "signer"}
    )
    assert volumes["cache"]["persistentVolumeClaim"] == {"claimName": "shared"}
    assert mounts["cache"] == {"name": "cache", "mountPath": names.CACHE_DIRECTORY}
    secret = volumes["cache-key"]["secret"]
    assert secret["secretName"] == "signer"
    assert secret["items"] == [{"key": "key", "path": "key"}]
    assert oct(secret["defaultMode"]) == "0o440"
    assert mounts["cache-key"]["readOnly"] is True
    assert spec["securityContext"]["fsGroup"] == 65532
    assert spec["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
    assert "env" not in spec["containers"][0]


def test_a_model_on_a_claim_is_mounted_read_only(pod: Callable[..., Mounts]) -> None:
    volumes, mounts, _ = pod(model={"source": "pvc://weights/a/b.safetensors"})
    assert volumes["model"]["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    assert mounts["model"] == {"name": "model", "mountPath": "/mnt/models/weights", "readOnly": True}


def test_one_claim_for_model_and_cache_is_read_only_where_the_model_is(pod: Callable[..., Mounts]) -> None:
    volumes, mounts, _ = pod(
        model={"source": "pvc://all/model"}, cache={"persistentVolumeClaim": {"claimName": "all"}}
    )
    assert volumes["model"]["persistentVolumeClaim"] == {"claimName": "all"}
    assert mounts["model"]["readOnly"] is True
    assert "readOnly" not in mounts["cache"]


def test_a_model_in_an_image_is_an_image_volume(pod: Callable[..., Mounts]) -> None:
    volumes, mounts, _ = pod(model={"source": "oci://host:5000/team/model@sha256:ab#weights/a"})
    assert volumes["model"]["image"] == {
        "reference": "host:5000/team/model@sha256:ab",
        "pullPolicy": "IfNotPresent",
    }
    assert mounts["model"] == {"name": "model", "mountPath": "/mnt/model-image", "readOnly": True}


@pytest.mark.parametrize(
    "source", ["file:///a/b", "hf://o/n@main", "s3://b/k", "gs://b/k", "https://h/p", "python://a:B"]
)
def test_what_is_fetched_or_in_the_image_needs_no_volume(pod: Callable[..., Mounts], source: str) -> None:
    assert list(pod(model={"source": source})[0]) == ["tmp"]


def test_the_users_template_reaches_the_volumes_by_name(pod: Callable[..., Mounts]) -> None:
    volumes, _, _ = pod(
        cache={"emptyDir": {"sizeLimit": "1Gi"}},
        podTemplate={"spec": {"volumes": [{"name": "cache", "emptyDir": {"medium": "Memory"}}]}},
    )
    assert volumes["cache"]["emptyDir"] == {"sizeLimit": "1Gi", "medium": "Memory"}
