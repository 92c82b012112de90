"""Which pods go when some are taken away, decided by the real ReplicaSet controller: the idle ones, not those with calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from atheria_contract import names
from tests.integration.operator.harness import Gateway, eventually

ADDRESSES = ("127.78.0.1", "127.78.0.2", "127.78.0.3", "127.78.0.4")


class Fleet:
    """Front ends of pods, one an address, that say what they have in flight."""

    def __init__(self) -> None:
        self.in_flight: dict[str, int | None] = dict.fromkeys(ADDRESSES, 0)
        """None = it does not answer the question."""
        self.pod_at: dict[str, str] = {}

    def start(self, space: Any, revision: str) -> None:
        """Every pod of a revision runs at an address of its own and is ready."""
        pods = space.wait_pods(revision, len(ADDRESSES))
        for pod, address in zip(pods, ADDRESSES, strict=True):
            self.pod_at[address] = pod["metadata"]["name"]
            space.set_pod(self.pod_at[address], ready=True, podIP=address, podIPs=[{"ip": address}])


@pytest.fixture
def gateway(operator: Any) -> Iterator[Gateway]:
    found = Gateway(operator.demand_port)
    yield found
    found.close()


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    found = Fleet()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls = found.in_flight[str(self.server.server_address[0])]
            is_told = self.path == names.PATH_READY and calls is not None
            body = json.dumps({"ready": True, names.READY_IN_FLIGHT: calls}).encode()
            self.send_response(200 if is_told else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    servers = [ThreadingHTTPServer((address, names.PORT_HTTP), Handler) for address in ADDRESSES]
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    yield found
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join(10)
        server.server_close()


def staying(space: Any, revision: str) -> dict[str, Any]:
    """Its pods that do not go, by name."""
    return {
        pod["metadata"]["name"]: pod
        for pod in space.get("pods")["items"]
        if pod["metadata"]["name"].startswith(revision) and not pod["metadata"].get("deletionTimestamp")
    }


def test_the_idle_pod_goes_and_the_busy_ones_stay_without_a_cost(space: Any, fleet: Fleet) -> None:
    spec = {"class": "external", "maxReplicas": 4}
    space.apply_model(scaling=spec, replicas=4)
    revision = space.wait_active()
    fleet.start(space, revision)
    eventually("all pods counted", lambda: space.model()["status"].get("readyReplicas") == 4, 60)
    addresses = list(ADDRESSES)
    # One after the other, so that a choice by chance does not pass: each time another one has the fewest calls.
    for replicas, idle, others in ((3, 1, [7, 2, 1]), (2, 0, [1, None]), (1, 1, [3])):
        going = addresses.pop(idle)
        fleet.in_flight |= {going: 0, **dict(zip(addresses, others, strict=True))}
        space.apply_model(scaling=spec, replicas=replicas)
        left = {fleet.pod_at[address] for address in addresses}
        eventually(
            f"{replicas} pods",
            lambda replicas=replicas: len(staying(space, revision)) == replicas,
            60,
        )
        pods = staying(space, revision)
        assert set(pods) == left
        for pod in pods.values():
            assert names.ANNOTATION_DELETION_COST not in pod["metadata"].get("annotations", {})


def test_a_cost_that_was_written_in_vain_is_taken_back_and_a_persons_stays(space: Any, fleet: Fleet) -> None:
    space.apply_model(scaling={"class": "external", "maxReplicas": 4}, replicas=4)
    revision = space.wait_active()
    fleet.start(space, revision)
    stale, own = (fleet.pod_at[address] for address in ADDRESSES[:2])
    space.kubectl("annotate", "pod", stale, f"{names.ANNOTATION_DELETION_COST}=-1")
    space.kubectl("annotate", "pod", own, f"{names.ANNOTATION_DELETION_COST}=100")

    def costs() -> dict[str, str]:
        return {
            name: found
            for name, pod in staying(space, revision).items()
            if (found := pod["metadata"].get("annotations", {}).get(names.ANNOTATION_DELETION_COST))
        }

    eventually("only the person's cost", lambda: costs() == {own: "100"}, 60)


def test_a_wake_while_the_last_pod_still_drains_gets_a_pod_of_its_own_and_is_kept(
    space: Any, gateway: Gateway, fleet: Fleet
) -> None:
    space.apply_model(scaling={"idleTimeout": "1s", "scaleDownDelay": "0s", "maxReplicas": 1})
    revision = space.wait_active()
    (draining,) = space.wait_pods(revision)
    name = draining["metadata"]["name"]
    # As a server that finishes its calls does, it stays for a while once it is told to go.
    space.kubectl("patch", "pod", name, "--type=merge", "-p", '{"metadata": {"finalizers": ["test/drain"]}}')
    space.set_pod(name, ready=True, podIP=ADDRESSES[0], podIPs=[{"ip": ADDRESSES[0]}])

    def is_draining() -> bool:
        gateway.report("qca", space.name)
        return bool(space.get("pod", name)["metadata"].get("deletionTimestamp"))

    eventually("the idle pod drains", is_draining, 60)
    assert space.model()["spec"]["replicas"] == 0
    # Its last answers are on their way when a new call comes: held, since no pod is ready, and in flight in the old one.
    for what in (names.MODEL_PLURAL, "deployments"):
        space.kubectl("scale", what, "qca" if what == names.MODEL_PLURAL else revision, "--replicas=1")
    gateway.report("qca", space.name, held=1, in_flight=2, arrivals=1)
    (woken,) = space.wait_pods(revision)
    assert woken["metadata"]["name"] != name
    space.set_pod(woken["metadata"]["name"], ready=True, podIP=ADDRESSES[1], podIPs=[{"ip": ADDRESSES[1]}])
    gateway.report("qca", space.name, in_flight=1, arrivals=1)
    space.kubectl("patch", "pod", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    eventually("the old pod has gone", lambda: len(space.get("pods")["items"]) == 1, 60)
    gateway.report("qca", space.name, in_flight=1, arrivals=1)
    assert space.model()["spec"]["replicas"] == 1
    assert list(staying(space, revision)) == [woken["metadata"]["name"]]
