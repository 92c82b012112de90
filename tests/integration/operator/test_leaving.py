"""Nothing is left that cannot be deleted: with the operator, without it, and after it was uninstalled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from atheria_contract import names
from tests.integration.operator.harness import SYSTEM_NAMESPACE, eventually


def finalizers(space: Any) -> list[str]:
    """Those of the model."""
    return list(space.model()["metadata"].get("finalizers") or [])


def test_a_namespace_with_a_model_in_it_can_be_deleted(space: Any) -> None:
    space.apply_model()
    space.wait_active()
    space.cluster.kubectl("delete", "namespace", space.name, "--timeout=40s")
    space.cluster.kubectl("create", "namespace", space.name)


def test_a_model_deleted_while_no_operator_ran_goes_when_one_starts(operator: Any, bare: Any) -> None:
    bare.apply_model()
    bare.wait_active()
    written = len(operator.log)
    assert operator.terminate() == 0
    # Without it kopf waits 5 s for a task of its own.
    assert "Activity 'set-stop-flag' succeeded" in operator.log[written:]
    try:
        bare.kubectl("delete", "am", "qca", "--wait=false")
        assert finalizers(bare) == [names.FINALIZER]
    finally:
        operator.start()
    eventually("the model gone", lambda: bare.cluster.find("am", "qca", "-n", bare.name) is None)


def test_complaint_28_after_the_uninstall_hook_a_model_can_be_deleted_without_an_operator(
    operator: Any, bare: Any
) -> None:
    bare.apply_model()
    revision = bare.wait_active()
    assert finalizers(bare) == [names.FINALIZER]
    operator.terminate()
    try:
        done = subprocess.run(
            [
                sys.executable, "-m", "atheria_operator.uninstall",
                "--namespace", SYSTEM_NAMESPACE, "--deployment", "atheria-operator", "--timeout-seconds", "20",
            ],
            env={**os.environ, "KUBECONFIG": str(bare.cluster.plane.kubeconfig)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert finalizers(bare) == []
        bare.kubectl("delete", "am", "qca", "--timeout=20s")
        eventually(
            "the Deployment gone", lambda: bare.cluster.find("deployment", revision, "-n", bare.name) is None
        )
    finally:
        operator.start()


def test_the_profiles_of_the_chart_are_installed_by_its_init_container(cluster: Any, tmp_path: Path) -> None:
    cluster.kubectl("delete", "ahp", "--all")
    profiles = Path(__file__).parents[3] / "charts" / "atheria" / "files" / "profiles"
    done = subprocess.run(
        [sys.executable, "-m", "atheria_operator.install_profiles", str(profiles)],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig_of_the_operator(tmp_path / "kubeconfig"))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {item["metadata"]["name"] for item in cluster.get("ahp")["items"]}
    assert found == {file.stem for file in profiles.glob("*.yaml")}
