"""The control plane that the other integration tests stand on."""

import json
import subprocess

import pytest

from atheria_local.control_plane import ControlPlane
from atheria_local.errors import LocalError


def test_an_object_is_kept_collected_with_its_owner_and_nothing_is_left_behind() -> None:
    with ControlPlane(controllers=True) as plane:
        folder = plane.kubeconfig.parent

        def kubectl(*arguments: str, stdin: str = "") -> str:
            done = subprocess.run(
                [*plane.kubectl, *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=150,
                check=True,
            )
            return done.stdout

        kubectl("create", "configmap", "owner")
        owner = json.loads(kubectl("get", "configmap", "owner", "-o", "json"))["metadata"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
        child = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "child", "ownerReferences": [reference]},
        }
        kubectl("create", "-f", "-", stdin=json.dumps(child))
        kubectl("delete", "configmap", "owner")
        kubectl("wait", "--for=delete", "configmap/child", "--timeout=120s")
        assert "v1.35" in json.loads(kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
    assert not folder.exists()


def test_a_killed_api_server_comes_back_at_the_same_place_with_what_it_stored() -> None:
    with ControlPlane() as plane:

        def kubectl(*arguments: str, limit: str = "30s") -> int:
            done = subprocess.run(
                [*plane.kubectl, f"--request-timeout={limit}", *arguments],
                capture_output=True,
                timeout=60,
                check=False,
            )
            return done.returncode

        assert kubectl("create", "configmap", "kept") == 0
        plane.kill_api_server()
        assert kubectl("get", "configmap", "kept", limit="3s") != 0
        plane.start_api_server()
        assert kubectl("get", "configmap", "kept") == 0
        with pytest.raises(LocalError, match="call kill_api_server first"):
            plane.start_api_server()
