"""What a starting pod, the scheduler and the autoscalers of nodes say is in the status, in their own words."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from atheria_contract import names
from tests.integration.operator.harness import Gateway, eventually

ADDRESS = "127.77.0.2"


class StartingPod:
    """A pod's front end that says what it is told to say."""

    def __init__(self) -> None:
        self.says = "loading"


@pytest.fixture
def starting_pod() -> Iterator[StartingPod]:
    pod = StartingPod()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_asked = self.path == names.PATH_READY
            answer = {"ready": False, "reason": f"the model is not loaded yet: {pod.says}"}
            body = json.dumps(answer).encode()
            self.send_response(503 if is_asked else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((ADDRESS, names.PORT_HTTP), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield pod
        server.shutdown()
        thread.join(10)


def events(space: Any, reason: str) -> list[str]:
    found = space.get("events", f"--field-selector=reason={reason},involvedObject.kind=AtheriaModel")
    return [item["message"] for item in found["items"]]


def test_a_start_is_followed_by_what_the_pod_says_and_becomes_history(
    space: Any, starting_pod: StartingPod
) -> None:
    space.apply_model()
    pod = space.wait_pods(space.wait_active())[0]["metadata"]["name"]
    space.set_pod(pod, podIP=ADDRESS, podIPs=[{"ip": ADDRESS}])
    space.wait_condition("Ready", "Unknown", "Loading")
    starting_pod.says = "compiling 3 of 8 (16x8x8)"
    message = space.wait_condition("Ready", "Unknown", "Compiling")["message"]
    assert "Compiling 3 of 8 (16x8x8)" in message
    start = space.model()["status"]["start"]
    assert (start["phase"], start["done"], start["total"]) == ("Compiling", 3, 8)
    starting_pod.says = "running hooks 0 of 1 (mine:hook)"
    space.wait_condition("Ready", "Unknown", "Warming")
    space.set_pod(pod, ready=True, podIP=ADDRESS, podIPs=[{"ip": ADDRESS}])
    space.wait_condition("Ready", "True", "Ready")
    status = space.model()["status"]
    assert "start" not in status
    assert [one["phase"] for one in status["starts"][0]["phases"]] == [
        "WaitingForNode",
        "Pulling",
        "Loading",
        "Compiling",
        "Warming",
    ]
    assert status["phase"] == "Serving"
    eventually("the Event with the seconds", lambda: "the start took" in "".join(events(space, "Ready")))
    assert "Loading" in eventually("the Event", lambda: "".join(events(space, "Compiling")))


@pytest.mark.parametrize(
    ("reason", "status"), [("TriggeredScaleUp", "Unknown"), ("NotTriggerScaleUp", "False")]
)
def test_the_autoscaler_of_nodes_is_quoted(space: Any, reason: str, status: str) -> None:
    space.apply_model()
    pod = space.wait_pods(space.wait_active())[0]
    words = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    metadata = pod["metadata"]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    space.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.1", "namespace": space.name},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "namespace": space.name,
                "uid": metadata["uid"],
            },
            "reason": reason,
            "message": "the words of the autoscaler",
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": "Normal",
            "source": {"component": "cluster-autoscaler"},
        }
    )
    space.cluster.patch_status(f"pod/{metadata['name']}", space.name, {"conditions": [condition]})
    message = space.wait_condition("Ready", status, reason)["message"]
    assert words in message
    assert "the words of the autoscaler" in message
    shown = space.kubectl("get", "am", "qca", "--no-headers").split()
    assert shown[1:3] == [status, reason]


def test_cost_and_the_last_call_come_from_the_gateways_counters(space: Any, operator: Any) -> None:
    space.apply_model(hardware={"profile": "nvidia-l4"})
    revision = space.wait_active()
    space.make_ready(revision)
    space.wait_condition("Ready", "True", "Ready")
    assert "lastCallTime" not in space.model()["status"]
    # The name that other tests' gateways have: a silent one of another name would hold their models up for 30 s.
    gateway = Gateway(operator.demand_port)
    try:
        gateway.report("qca", space.name, arrivals=0)
        gateway.report("qca", space.name, in_flight=1, arrivals=4)
        time_of_call = eventually(
            "the last call", lambda: touched(space)["status"].get("lastCallTime"), timeout_seconds=30
        )
    finally:
        gateway.close()
    assert time_of_call.endswith("Z")
    cost = space.model()["status"]["cost"]
    assert cost["calls"] == 4
    assert (cost["basis"], cost["busyBasis"]) == ("measured", "modelled")
    assert cost["priceSource"]
    assert cost["priceDate"]
    assert cost["reservedPer1000"] > 0
    columns = space.kubectl("get", "am", "qca").splitlines()[0].split()
    assert "COST/1K" in columns


def touched(space: Any) -> Any:
    """The model after a change that makes its status be written anew: sums alone wait for a minute."""
    bound = int(time.monotonic() * 10) % 50 + 60
    space.apply_model(hardware={"profile": "nvidia-l4"}, scaling={"idleTimeout": f"{bound}s"})
    return space.model()
