"""The definition is deleted while models of it exist and the operator runs: all ends cleanly, and it can come back."""

from __future__ import annotations

from pathlib import Path

from operator_harness import Cluster, Namespace, eventually, running_operator

from atheria_contract import names
from atheria_local.control_plane import ControlPlane


def test_a_definition_with_models_can_be_deleted_and_made_again(tmp_path: Path) -> None:
    # A control plane of its own: all other tests need the definition.
    with ControlPlane(controllers=True) as plane:
        cluster = Cluster(plane)
        cluster.install()
        space = Namespace(cluster, "default")
        with running_operator(cluster, tmp_path) as operator:
            space.apply_model()
            revision = space.wait_active()
            definition = f"{names.MODEL_PLURAL}.{names.GROUP}"
            cluster.kubectl("delete", "crd", definition, "--timeout=50s")
            eventually(
                "the Deployment gone", lambda: cluster.find("deployment", revision, "-n", space.name) is None
            )
            assert operator.is_running
            cluster.install()
            space.apply_model("again")
            space.wait_active("again")
            assert operator.terminate() == 0
