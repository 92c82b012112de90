"""The status through a model's life, with the words of whoever refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from atheria_contract import names
from tests.integration.operator.harness import eventually


def test_a_new_model_starts_is_ready_and_warm_and_shows_its_cold_start(space: Any) -> None:
    space.apply_model()
    revision = space.wait_active()
    starting = space.wait_condition("Ready", "Unknown")
    assert starting["reason"] in {"Creating", "WaitingForNode"}
    space.make_ready(revision)
    space.wait_condition("Ready", "True", "Ready")
    space.wait_condition("Warm", "True")
    space.wait_condition("Active", "True")
    status = space.model()["status"]
    assert (status["readyReplicas"], status["phase"]) == (1, "Serving")
    assert status["selector"] == f"{names.LABEL_MODEL}=qca"
    assert status["coldStart"]["revision"] == revision
    assert status["coldStart"]["totalSeconds"] >= 0
    shown = {"name": revision, "weight": 100, "replicas": 1, "readyReplicas": 1, "mayRun": True}
    assert status["revisions"] == [shown]
    line = space.kubectl("get", "am", "qca", "--no-headers").split()
    assert line[:5] == ["qca", "True", "Ready", revision, "1"]


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"model": {"source": "builtin://nothing"}}, "UnknownSource", ["builtin://qca", "builtin://echo"]),
        ({"hardware": {"profile": "tpu"}}, "ProfileNotFound", ["'tpu'", "cpu", "nvidia-l4"]),
        (
            {"model": {"source": "builtin://echo", "parameters": {"a": {"b": 1}}}},
            "InvalidSpec",
            ["spec.model.parameters.a"],
        ),
        ({"podTemplate": {"spec": {"restartPolicy": "Sometimes"}}}, "Refused", ["restartPolicy", "Sometimes"]),
        ({"podTemplate": {"spec": {"nodeSelektor": {}}}}, "Refused", ["nodeSelektor"]),
    ],
    ids=["unknown builtin", "missing profile", "nested parameter", "wrong value in podTemplate", "unknown field"],
)  # fmt: skip
def test_a_spec_that_cannot_be_served_is_not_accepted(
    space: Any, change: dict[str, Any], reason: str, words: list[str]
) -> None:
    space.apply_model(**change)
    for kind in ("Accepted", "Ready"):
        found = space.wait_condition(kind, "False", reason)
        for word in words:
            assert word in found["message"]
    space.apply_model()
    space.wait_condition("Accepted", "True")


def test_a_profile_that_is_created_later_is_found(space: Any) -> None:
    profile = f"late-{space.name}"
    space.apply_model(hardware={"profile": profile})
    space.wait_condition("Accepted", "False", "ProfileNotFound")
    space.cluster.apply(
        {
            "apiVersion": names.API_VERSION,
            "kind": names.PROFILE_KIND,
            "metadata": {"name": profile},
            "spec": {"nodeSelector": {"a": "b"}},
        }
    )
    try:
        space.wait_condition("Accepted", "True")
    finally:
        space.cluster.kubectl("delete", "ahp", profile)


def wait_events(space: Any, reason: str) -> list[dict[str, Any]]:
    """The model's Events of this reason, which come a moment after the status that they tell of."""
    selector = f"--field-selector=reason={reason},involvedObject.kind=AtheriaModel"
    return eventually(f"an Event {reason}", lambda: space.get("events", selector)["items"] or None)


def test_a_pod_that_cannot_be_placed_is_reported_in_the_schedulers_own_words(space: Any) -> None:
    space.apply_model()
    pod = space.wait_pods(space.wait_active())[0]["metadata"]["name"]
    words = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    space.cluster.patch_status(f"pod/{pod}", space.name, {"conditions": [condition]})
    assert words in space.wait_condition("Ready", "False", "Unschedulable")["message"]
    events = wait_events(space, "Unschedulable")
    assert words in events[0]["message"]


def test_a_server_that_ends_is_reported_with_its_last_words(space: Any) -> None:
    space.apply_model()
    pod = space.wait_pods(space.wait_active())[0]["metadata"]["name"]
    message = "loading\natheria-server: error: digest is sha256:ab, expected sha256:00\n"
    space.set_pod(
        pod, state={"terminated": {"exitCode": 3, "reason": "Error", "message": message, "startedAt": None}}
    )
    found = space.wait_condition("Ready", "False", "ModelFailed")
    assert found["message"].endswith("exit code 3: digest is sha256:ab, expected sha256:00")
    space.set_pod(pod, ready=True)
    space.wait_condition("Ready", "True")


def test_a_change_makes_a_new_revision_that_takes_over_when_it_is_ready(space: Any) -> None:
    space.apply_model()
    old = space.wait_active()
    space.make_ready(old)
    space.wait_condition("Ready", "True")
    space.apply_model(batching={"maxBatchSize": 2}, rollout={"revisionHistoryLimit": 0})
    found = space.wait_condition("Ready", "Unknown")
    assert f"calls still go to revision {old}" in found["message"]
    assert space.model()["status"]["activeRevision"] == old

    def other() -> str | None:
        deployments = [item["metadata"]["name"] for item in space.get("deployments")["items"]]
        return next((name for name in deployments if name != old), None)

    new = eventually("the new revision's Deployment", other)
    assert space.replicas("deployment", new) == 1
    space.make_ready(new)
    assert space.wait_active(other_than=old) == new
    space.wait_condition("Ready", "True")
    for kind in ("deployment", "service", "configmap"):
        eventually(
            f"no {kind} {old}", lambda kind=kind: space.cluster.find(kind, old, "-n", space.name) is None
        )


def test_a_new_revision_that_fails_leaves_the_old_one_serving(space: Any) -> None:
    space.apply_model()
    old = space.wait_active()
    space.make_ready(old)
    space.wait_condition("Ready", "True")
    space.apply_model(model={"source": "python://nothing.here:Api"})
    pods = eventually(
        "a pod of the new revision",
        lambda: (
            [
                pod["metadata"]["name"]
                for pod in space.get("pods")["items"]
                if not pod["metadata"]["name"].startswith(old)
            ]
            or None
        ),
    )
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "no module named nothing"}}
    space.set_pod(pods[0], state=ended)
    found = space.wait_condition("Ready", "False", "ModelFailed")
    assert "no module named nothing" in found["message"]
    assert found["message"].endswith(f"calls still go to revision {old}")
    space.wait_condition("Warm", "True")
    assert space.model()["status"]["activeRevision"] == old
    assert space.replicas("deployment", old) == 1


def refuse(space: Any, revision: str, words: str) -> None:
    """Play a server of the revision that ends with these words."""
    state = {"terminated": {"exitCode": 1, "reason": "Error", "message": f"atheria-server: error: {words}\n"}}
    for pod in space.wait_pods(revision):
        space.set_pod(pod["metadata"]["name"], state=state)


def new_revision(space: Any, old: str) -> str:
    """Name of the Deployment besides `old`, once there is one."""

    def look() -> str | None:
        names_ = [item["metadata"]["name"] for item in space.get("deployments")["items"]]
        return next((name for name in names_ if name != old), None)

    return eventually("a Deployment of another revision", look)


def test_a_revision_that_its_gate_refuses_takes_no_call_from_the_old_one(space: Any) -> None:
    external = {"class": "external"}
    space.apply_model(scaling=external, replicas=1)
    old = space.wait_active()
    space.make_ready(old)
    space.wait_condition("QualityAccepted", "True", "Baseline")
    space.apply_model(scaling=external, replicas=1, precision={"policy": "nf4"})
    new = new_revision(space, old)
    space.wait_condition("QualityAccepted", "Unknown", "NotJudged")
    refuse(space, new, "QualityRejected: C4 is 4.47 % off, the limit of the profile default is 5e-02")
    quality = space.wait_condition("QualityAccepted", "False", "QualityRejected")
    ready = space.wait_condition("Ready", "False", "QualityRejected")
    for found in (quality, ready):
        assert "C4 is 4.47 % off, the limit of the profile default is 5e-02" in found["message"]
    assert ready["message"].endswith(f"calls still go to revision {old}")
    status = space.model()["status"]
    assert (status["activeRevision"], status["failure"]["revision"]) == (old, new)
    assert len(wait_events(space, "QualityRejected")) == 1
    # At zero a new revision takes over at once, a refused one does not.
    space.apply_model(scaling=external, replicas=0, precision={"policy": "nf4"})
    eventually("no pods", lambda: space.model()["status"]["replicas"] == 0)
    assert space.wait_condition("Active", "False", "ScaledToZero")
    assert space.wait_condition("Ready", "False")["reason"] == "QualityRejected"
    assert space.model()["status"]["activeRevision"] == old
    # Another spec is another revision, with a chance of its own.
    space.apply_model(scaling=external, replicas=0, precision={"policy": "int8"})
    assert space.wait_active(other_than=old) != new
    space.wait_condition("Ready", "True", "ScaledToZero")
    assert "failure" not in space.model()["status"]


def test_a_source_that_is_away_is_a_reason_of_its_own_and_heals(space: Any) -> None:
    space.apply_model(model={"source": "https://models.example/law.safetensors"})
    revision = space.wait_active()
    refuse(space, revision, "SourceUnavailable: https://models.example/law.safetensors: no answer")
    assert "started again" in space.wait_condition("Ready", "False", "SourceUnavailable")["message"]
    space.make_ready(revision)
    space.wait_condition("Ready", "True")


@pytest.fixture
def pod_server() -> Iterator[str]:
    """The address of a pod: a server on its own loopback address that tells what a pod of the built-in model does."""
    address = "127.77.0.1"
    answer = {
        "precision": {"policy": "hierarchy", "why": "asked for", "layers": [], "notes": []},
        "weight_bytes": 18_432,
        "quality": {
            "passed": True,
            "profile": "default",
            "reason": "Passed",
            "message": "",
            "measurements": [{"name": "F_8", "value": 0.9997, "limit": 0.98}],
        },
        "compile": {"mode": "aot", "cache": "hit", "graphs": 2, "seconds": 1.5, "saved_seconds": 30.25},
        "warm": [{"shape": [16, 8, 8], "rows": 8, "compile_seconds": 1.5, "run_seconds": 0.01}],
        "kv_cache": {
            "wanted": "int4",
            "precision": "int8",
            "recent_window": 128,
            "agreement": 0.998,
            "divergence": 0.0004,
            "positions": 640,
            "least_agreement": 0.99,
            "most_divergence": 0.01,
            "stepped_back": True,
            "why": "int4 is over the budget",
        },
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.path == names.PATH_OPTIMIZATION
            body = json.dumps(answer).encode()
            self.send_response(200 if is_known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((address, names.PORT_HTTP), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield address
        server.shutdown()
        thread.join(10)


def test_what_a_ready_pod_tells_is_in_the_status(space: Any, pod_server: str) -> None:
    spec = {
        "scaling": {"class": "external"},
        "precision": {"policy": "hierarchy"},
        "compile": {"mode": "aot"},
    }
    space.apply_model(replicas=1, **spec)
    revision = space.wait_active()
    space.wait_condition("QualityAccepted", "Unknown", "NotJudged")
    pod = space.wait_pods(revision)[0]["metadata"]["name"]
    space.set_pod(pod, ready=True, podIP=pod_server, podIPs=[{"ip": pod_server}])
    accepted = space.wait_condition("QualityAccepted", "True", "Passed")
    assert accepted["message"].endswith("F_8 0.9997 (limit 0.98)")
    status = space.model()["status"]
    of = {"revision": revision, "pod": pod}
    assert status["quality"] == {
        **of,
        "passed": True,
        "profile": "default",
        "reason": "Passed",
        "metrics": [{"name": "F_8", "value": 0.9997, "limit": 0.98}],
    }
    assert status["precision"] == {**of, "chosen": "hierarchy", "why": "asked for", "weightBytes": 18_432}
    assert status["compileCache"] == {
        **of,
        "mode": "aot",
        "result": "hit",
        "graphs": 2,
        "seconds": 1.5,
        "savedSeconds": 30.25,
    }
    assert status["warmup"] == [{"shape": "16x8x8", "rows": 8, "compileSeconds": 1.5, "runSeconds": 0.01}]
    assert status["kvCache"] == {
        **of,
        "wanted": "int4",
        "precision": "int8",
        "recentWindow": 128,
        "comparedTokens": 640,
        "agreement": 0.998,
        "leastAgreement": 0.99,
        "divergence": 0.0004,
        "mostDivergence": 0.01,
        "steppedBack": True,
        "why": "int4 is over the budget",
    }
    stepped_back = space.wait_condition("KvCacheAccepted", "False", "SteppedBack")
    assert "set spec.kvCache.precision: int8" in stepped_back["message"]
    eventually("the Event", lambda: "SteppedBack" in space.kubectl("get", "events", "-o", "json"))
    # It stays when nobody is there to tell it.
    space.apply_model(replicas=0, **spec)
    space.wait_condition("Ready", "True", "ScaledToZero")
    space.wait_condition("QualityAccepted", "True", "Passed")
    assert space.model()["status"]["compileCache"]["savedSeconds"] == 30.25


def test_a_model_at_zero_takes_its_new_revision_at_once(space: Any) -> None:
    space.apply_model(scaling={"initialReplicas": 0})
    old = space.wait_active()
    space.wait_condition("Ready", "True", "ScaledToZero")
    space.wait_condition("Active", "False", "ScaledToZero")
    space.apply_model(scaling={"initialReplicas": 0}, batching={"maxBatchSize": 2})
    new = space.wait_active(other_than=old)
    assert space.replicas("deployment", new) == 0
    space.wait_condition("Ready", "True", "ScaledToZero")


def test_the_status_comes_to_rest(space: Any) -> None:
    space.apply_model()
    space.make_ready(space.wait_active())
    space.wait_condition("Ready", "True")
    before = space.model()["status"]
    space.kubectl("annotate", "deployment", space.wait_active(), "touched=1")
    eventually("the touched Deployment", lambda: "touched" in json.dumps(space.get("deployments")))
    after = space.model()["status"]
    assert {key for key in after if after[key] != before.get(key)} == set()
