"""`atheria plan`, `apply`, `list`, `get` and `doctor` on a real API server with the chart's definitions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atheria_cli.errors import ExitCode
from atheria_local.control_plane import ControlPlane
from tests.integration.cli.cluster import atheria

pytestmark = pytest.mark.integration
MODEL = """
apiVersion: atheria.dev/v1alpha1
kind: AtheriaModel
metadata: {{name: qca, namespace: default}}
spec:
  model: {{source: "builtin://qca"}}
  hardware: {{profile: nvidia-l4}}
  batching: {{maxBatchSize: {batch}}}
  scaling: {{minReplicas: 0, maxReplicas: {most}}}
"""


def test_a_plan_changes_nothing_an_apply_does_and_the_next_plan_says_what_differs(
    plane: ControlPlane, tmp_path: Path
) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(MODEL.format(batch=8, most=4))
    first = atheria(plane, "plan", "-f", str(file), "--exit-code")
    assert first.returncode == ExitCode.CHANGES, first.stderr
    assert "AtheriaModel default/qca: new" in first.stdout
    assert "accepted: on nvidia-l4" in first.stdout
    assert json.loads(atheria(plane, "list", "-o", "json").stdout) == []

    applied = atheria(plane, "apply", "-f", str(file), "-o", "json")
    assert applied.returncode == 0, applied.stderr
    (line,) = applied.stdout.splitlines()
    assert json.loads(line)["applied"] == ["atheriamodel.atheria.dev/qca serverside-applied"]
    assert json.loads(line)["planned"][0]["is_new"]
    (row,) = json.loads(atheria(plane, "list", "-A", "-o", "json").stdout)
    assert (row["namespace"], row["name"], row["ready"]) == ("default", "qca", "Unknown")
    assert atheria(plane, "plan", "-f", str(file), "--exit-code").returncode == 0

    file.write_text(MODEL.format(batch=8, most=6))
    scaled = atheria(plane, "plan", "-f", str(file))
    assert "~ spec.scaling.maxReplicas: 4 -> 6" in scaled.stdout
    assert "no pod is replaced" in scaled.stdout
    file.write_text(MODEL.format(batch=32, most=4))
    changed = json.loads(atheria(plane, "plan", "-f", str(file), "-o", "json").stdout)
    assert changed[0]["changes"] == [{"path": "spec.batching.maxBatchSize", "before": 8, "after": 32}]
    assert changed[0]["outlook"]["restarts"].startswith("a new revision")
    assert "qca" in atheria(plane, "get", "qca").stdout


def test_what_the_api_server_refuses_changes_nothing(plane: ControlPlane, tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(
        MODEL.format(batch=8, most=4).replace("minReplicas: 0", "minReplicas: 9").replace("qca,", "bad,")
    )
    done = atheria(plane, "apply", "-f", str(file))
    assert done.returncode == ExitCode.FAILED
    assert "minReplicas" in done.stderr
    assert atheria(plane, "get", "bad").returncode == ExitCode.NOT_FOUND


def test_a_manifest_from_a_pipe_is_planned_and_applied_with_all_its_documents(plane: ControlPlane) -> None:
    first, second = (MODEL.format(batch=8, most=4).replace("qca,", f"piped-{one},") for one in "ab")
    both = f"{first}---{second}"
    planned = atheria(plane, "plan", "-f", "-", stdin=both)
    assert planned.returncode == 0, planned.stderr
    for one in "ab":
        assert f"AtheriaModel default/piped-{one}: new" in planned.stdout

    applied = atheria(plane, "apply", "-f", "-", "-o", "json", stdin=both)
    assert applied.returncode == 0, applied.stderr
    (line,) = applied.stdout.splitlines()
    assert json.loads(line)["applied"] == [
        f"atheriamodel.atheria.dev/piped-{one} serverside-applied" for one in "ab"
    ]
    assert atheria(plane, "plan", "-f", "-", "--exit-code", stdin=both).returncode == 0
    refused = atheria(plane, "apply", "-f", "-", stdin="kind: [\n")
    assert refused.returncode == ExitCode.FAILED
    assert "error parsing STDIN" in refused.stderr


def test_doctor_finds_what_the_cluster_lacks(plane: ControlPlane) -> None:
    done = atheria(plane, "doctor")
    assert done.returncode == ExitCode.FAILED
    assert "AtheriaModel and AtheriaHardwareProfile are installed" in done.stdout
    assert "no operator is installed" in done.stdout
    assert "helm upgrade --install atheria" in done.stdout
