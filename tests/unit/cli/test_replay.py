"""`atheria replay` runs the operator's decision on recorded calls, and says what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atheria_cli.__main__ import app
from atheria_cli.cluster import Cluster

MODEL = """
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: atheria.dev/v1alpha1
kind: AtheriaModel
metadata: {name: mine}
spec:
  model: {source: "builtin://qca"}
  scaling: {minReplicas: 0, maxReplicas: 3, target: 2}
"""


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    path = tmp_path / "calls.csv"
    lines = [f"{10 * burst + 0.1 * call},1.5" for burst in range(12) for call in range(8)]
    path.write_text("time,service_seconds\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_settings_of_a_manifest_are_compared_with_others(calls: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "model.yaml"
    manifest.write_text(MODEL, encoding="utf-8")
    done = CliRunner().invoke(
        app,
        ["replay", str(calls), "--manifest", str(manifest), "--start", "5", "--usd-per-hour", "0.44"],
    )
    assert done.exit_code == 0, done.output
    assert "96 calls in 0.03 h, 144 slot-seconds" in done.output
    for words in ("as given", "minReplicas 1", "maxReplicas 6", "target 4", "fixed 3", "clairvoyant"):
        assert words in done.output


def test_a_model_of_the_cluster_is_read_by_kubectl(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {
        "kind": "AtheriaModel",
        "metadata": {"name": "mine", "namespace": "demo", "uid": "u"},
        "spec": {"model": {"source": "builtin://qca"}, "scaling": {"minReplicas": 1}},
    }
    asked: list[tuple[str, ...]] = []

    def kubectl(_: Cluster, *arguments: str) -> str:
        asked.append(arguments)
        return json.dumps(body)

    monkeypatch.setattr(Cluster, "kubectl", kubectl)
    done = CliRunner().invoke(app, ["replay", str(calls), "--model", "mine", "-n", "demo"])
    assert done.exit_code == 0, done.output
    assert asked == [("get", "atheriamodels.atheria.dev", "mine", "-n", "demo", "-o", "json")]
    assert "minReplicas 0" in done.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Deployment\n", "has no document of kind AtheriaModel"),
        (MODEL.replace("target: 2", "class: external"), "somebody else decides"),
        (MODEL.replace("target: 2", "metric: requestsPerSecond"), "give --slots"),
        (MODEL.replace("maxReplicas: 3", "maxReplicas: -3"), "the model is not accepted"),
        ("a: [", "model.yaml"),
    ],
)
def test_a_manifest_that_cannot_be_replayed_is_refused(
    calls: Path, tmp_path: Path, text: str, words: str
) -> None:
    manifest = tmp_path / "model.yaml"
    manifest.write_text(text, encoding="utf-8")
    done = CliRunner().invoke(app, ["replay", str(calls), "--manifest", str(manifest)])
    assert done.exit_code == 2
    assert words in done.output
    assert done.output.startswith("replay: ")


def test_without_a_model_it_says_which_options_name_one(calls: Path) -> None:
    done = CliRunner().invoke(app, ["replay", str(calls)])
    assert done.exit_code == 2
    assert "give --model NAME of a model in the cluster, or --manifest FILE.yaml" in done.output


def test_calls_that_cannot_be_used_are_refused_with_their_line(tmp_path: Path) -> None:
    manifest = tmp_path / "model.yaml"
    manifest.write_text(MODEL, encoding="utf-8")
    bad = tmp_path / "calls.csv"
    bad.write_text("time,service_seconds\n1,soon\n", encoding="utf-8")
    done = CliRunner().invoke(app, ["replay", str(bad), "--manifest", str(manifest)])
    assert done.exit_code == 2
    assert "calls.csv:2: service_seconds is 'soon'; allowed: a number from 0" in done.output


def test_a_program_gets_the_same_figures(calls: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "model.yaml"
    manifest.write_text(MODEL, encoding="utf-8")
    done = CliRunner().invoke(
        app, ["replay", str(calls), "--manifest", str(manifest), "--usd-per-hour", "3.6", "-o", "json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert (found["calls"], found["work_slot_seconds"], found["basis"]) == (96, 144, "modelled")
    rows = {row["policy"]: row for row in found["rows"]}
    assert {"as given", "fixed 3"} <= set(rows)
    for row in rows.values():
        assert row["usd"] == pytest.approx(row["gpu_seconds"] / 1000)
        assert 0 <= row["late_share"] <= 1
    assert found["clairvoyant"]
