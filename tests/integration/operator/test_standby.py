"""A model whose pod sleeps at zero: the operator, a real model server, and a test that plays the kubelet and a gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from atheria_contract import names
from atheria_contract.standby import parse_standby_key, standby_token
from tests.integration.operator.harness import STANDBY_KEY, Reporting, eventually

ADDRESS = "127.77.0.9"
SCALING = {
    "maxReplicas": 1,
    "idleTimeout": "1s",
    "scaleDownDelay": "0s",
    "keepAlive": "idleTimeout",
    "scaleToZero": {"mode": "sleep"},
}


class Kubelet:
    """Runs the server that a pod asks for, on a loopback address, and writes what its readiness probe sees."""

    def __init__(self, space: Any, pod: dict[str, Any], folder: Path) -> None:
        self._space = space
        self._pod = pod["metadata"]["name"]
        self._started = {"running": {"startedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}}
        (volume,) = [one for one in pod["spec"]["volumes"] if "configMap" in one]
        config = json.loads(space.get("configmap", volume["configMap"]["name"])["data"][names.CONFIG_FILE])
        file = folder / "model.json"
        file.write_text(json.dumps({**config, "host": ADDRESS, "drain_delay_seconds": 0.0}))
        self._log = (folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "atheria_server", "serve", "--config", str(file)],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stderr=self._log,
            stdout=self._log,
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._probe, daemon=True)
        self._failed: list[BaseException] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)
        self._process.terminate()
        self._process.wait(30)
        self._log.close()
        assert not self._failed, self._failed

    def _probe(self) -> None:
        known: bool | None = None
        try:
            while not self._ended.wait(0.2):
                seen = readiness()
                if seen is not None and seen != known:
                    known = seen
                    self._space.set_pod(
                        self._pod, ready=seen, state=self._started, podIP=ADDRESS, podIPs=[{"ip": ADDRESS}]
                    )
        except Exception as error:  # noqa: BLE001 - told by who uses it
            self._failed.append(error)


def readiness() -> bool | None:
    """What the server says; None before it listens."""
    try:
        with urllib.request.urlopen(f"http://{ADDRESS}:{names.PORT_HTTP}{names.PATH_READY}", timeout=10):
            return True
    except urllib.error.HTTPError:
        return False
    except OSError:
        return None


def order(path: str, token: str) -> int:
    request = urllib.request.Request(
        f"http://{ADDRESS}:{names.PORT_HTTP}{path}", method="POST", headers={names.HEADER_STANDBY: token}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_an_idle_models_pod_sleeps_and_is_woken_by_a_gateway(
    space: Any, operator: Any, tmp_path: Path
) -> None:
    token = standby_token(parse_standby_key(STANDBY_KEY), space.name, "qca")
    space.apply_model(scaling=SCALING)
    revision = space.wait_active()
    (pod,) = space.wait_pods(revision)
    with Reporting(operator.demand_port, "qca", space.name) as gateway, Kubelet(space, pod, tmp_path):
        gateway.say(in_flight=1, arrivals=1)
        # A real server starts for it.
        space.wait_condition("Ready", "True", "Ready", timeout_seconds=180)
        start_seconds = space.model()["status"].get("coldStart", {}).get("totalSeconds")
        gateway.say(arrivals=1)
        message = space.wait_condition("Ready", "True", "Asleep")["message"]
        assert "they keep their devices and their cost" in message
        assert readiness() is False
        assert (space.replicas("am", "qca"), space.replicas("deployment", revision)) == (0, 1)
        status = space.model()["status"]
        assert status["phase"] == "Asleep"
        standby = eventually(
            "what the server says of its sleep",
            lambda: found if "note" in (found := space.model()["status"].get("standby", {})) else None,
        )
        assert (standby["replicas"], standby["freedBytes"]) == (1, 0)
        assert "computes on the CPU" in standby["note"]
        assert order(names.PATH_WAKE, "somebody else's") == 403
        # A gateway's wake: the request, and the pod itself.
        gateway.say(held=1, arrivals=2)
        patch = json.dumps({"spec": {"replicas": 1}})
        space.kubectl("patch", "am", "qca", "--subresource=scale", "--type=merge", "-p", patch)
        assert order(names.PATH_WAKE, token) == 200
        space.wait_condition("Ready", "True", "Ready")
        known = space.model()["status"].get("coldStart", {})
        assert known.get("totalSeconds") == start_seconds, "a wake is no start"
        assert [one["metadata"]["name"] for one in space.wait_pods(revision)] == [pod["metadata"]["name"]]
        gateway.say(arrivals=2)
        space.wait_condition("Ready", "True", "Asleep")
        # A wake that never reached the pod: the operator gives it.
        gateway.say(held=1, arrivals=3)
        space.kubectl("patch", "am", "qca", "--subresource=scale", "--type=merge", "-p", patch)
        space.wait_condition("Ready", "True", "Ready")
