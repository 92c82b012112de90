"""`atheria rollout` sets the annotation that the operator obeys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from atheria_cli.__main__ import app
from atheria_cli.cluster import Cluster, ClusterError


@pytest.mark.parametrize(
    ("verb", "annotation"),
    [
        ("pause", "atheria.dev/rollout=paused"),
        ("resume", "atheria.dev/rollout-"),
        ("promote", "atheria.dev/rollout=promote:"),
        ("rollback", "atheria.dev/rollout=rollback:"),
    ],
)
def test_each_verb_sets_its_annotation(monkeypatch: pytest.MonkeyPatch, verb: str, annotation: str) -> None:
    calls: list[tuple[str, ...]] = []

    def kubectl(_: Cluster, *arguments: str) -> str:
        calls.append(arguments)
        return ""

    monkeypatch.setattr(Cluster, "kubectl", kubectl)
    done = CliRunner().invoke(app, ["rollout", verb, "qca", "-n", "demo"])
    assert done.exit_code == 0, done.output
    (arguments,) = calls
    assert arguments[:5] == ("annotate", "atheriamodels.atheria.dev", "qca", "-n", "demo")
    assert arguments[5].startswith(annotation)
    assert "atheria rollout status qca -n demo" in done.output


def test_what_kubectl_refuses_is_said_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def kubectl(_: Cluster, *arguments: str) -> str:
        raise ClusterError('atheriamodels.atheria.dev "qca" not found')

    monkeypatch.setattr(Cluster, "kubectl", kubectl)
    done = CliRunner().invoke(app, ["rollout", "promote", "qca"])
    assert done.exit_code == 1
    assert "not found" in done.output


def test_the_status_for_programs_says_whether_it_is_over_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    body: dict[str, Any] = {
        "metadata": {"name": "qca", "namespace": "demo", "generation": 2},
        "status": {
            "rollout": {"phase": "Complete", "proven": True},
            "revisions": [{"name": "qca-1", "weight": 100}],
            "conditions": [
                {
                    "type": "Progressing",
                    "status": "False",
                    "reason": "Complete",
                    "message": "all calls on qca-1",
                    "observedGeneration": 2,
                }
            ],
        },
    }
    monkeypatch.setattr(Cluster, "kubectl", lambda *_: json.dumps(body))
    done = CliRunner().invoke(app, ["rollout", "status", "qca", "-o", "json"])
    assert json.loads(done.output) == {
        "phase": "Complete",
        "proven": True,
        "is_seen": True,
        "is_over": True,
        "reason": "Complete",
        "message": "all calls on qca-1",
        "revisions": [{"name": "qca-1", "weight": 100}],
    }
    body["metadata"]["generation"] = 3
    done = CliRunner().invoke(app, ["rollout", "status", "qca", "-o", "json"])
    found = json.loads(done.output)
    assert (found["is_seen"], found["is_over"]) == (False, False)


@pytest.mark.parametrize(
    ("annotation", "answered", "is_over"),
    [
        ("rollback:1", "", False),
        ("rollback:2", "rollback:1", False),
        ("rollback:2", "rollback:2", True),
        ("promote:1", "", False),
        ("promote:" + "1" * 200, "promote:" + "1" * 120, True),
        ("paused", "", True),
        ("", "", True),
    ],
)
def test_a_rollout_is_not_over_before_the_operator_has_read_what_a_person_wants(
    monkeypatch: pytest.MonkeyPatch, annotation: str, answered: str, is_over: bool
) -> None:
    seen = {"type": "Progressing", "status": "False", "reason": "Complete", "observedGeneration": 2}
    body = {
        "metadata": {
            "name": "qca",
            "generation": 2,
            "annotations": {"atheria.dev/rollout": annotation} if annotation else {},
        },
        "status": {
            "rollout": {"phase": "Complete", **({"answered": answered} if answered else {})},
            "conditions": [seen],
        },
    }
    monkeypatch.setattr(Cluster, "kubectl", lambda *_: json.dumps(body))
    done = CliRunner().invoke(app, ["rollout", "status", "qca", "-o", "json"])
    assert json.loads(done.output)["is_over"] is is_over
    waited = CliRunner().invoke(app, ["rollout", "status", "qca", "--wait", "--timeout", "0.01"])
    assert waited.exit_code == (0 if is_over else 5), waited.output
