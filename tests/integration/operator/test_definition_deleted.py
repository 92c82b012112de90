"""The definition is deleted while models of it exist and the operator runs: all ends cleanly, and it can come back.

What holds GPUs goes by the operator itself: the garbage collector learns of definitions every 30 s, and of a definition that came and went in
between it never learns that the owners are gone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from atheria_contract import names
from atheria_local.control_plane import ControlPlane
from atheria_local.definitions import delete_definitions
from tests.integration.operator.harness import Cluster, Namespace, eventually, running_operator

# Each waits for two looks of 15 s, and for a control plane of its own.
pytestmark = pytest.mark.timeout(300)


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
            delete_definitions(cluster.plane.kubectl, definition)
            eventually(
                "the Deployment gone", lambda: cluster.find("deployment", revision, "-n", space.name) is None
            )
            assert operator.is_running
            cluster.install()
            space.apply_model("again")
            # Kopf may have looked for kinds before the API server listed it again, which is found out within two looks.
            eventually("the new model active", lambda: space.model("again").get("status"), 90)
            assert operator.terminate() == 0


@pytest.mark.parametrize("by", ["its own deletion", "that of the definition"])
def test_the_deployments_of_a_deleted_model_go_without_a_garbage_collector(tmp_path: Path, by: str) -> None:
    with ControlPlane() as plane:
        cluster = Cluster(plane)
        cluster.install()
        space = Namespace(cluster, "default")

        def deployments() -> str:
            return cluster.kubectl("get", "deployments", "-n", space.name, "-o", "name")

        with running_operator(cluster, tmp_path) as operator:
            space.apply_model()
            eventually("a Deployment", lambda: bool(deployments()))
            if by == "its own deletion":
                cluster.kubectl("delete", names.MODEL_PLURAL, "--all", "-n", space.name, "--timeout=30s")
            else:
                definition = f"{names.MODEL_PLURAL}.{names.GROUP}"
                delete_definitions(cluster.plane.kubectl, definition)
            eventually("no Deployment", lambda: not deployments())
            assert operator.terminate() == 0
