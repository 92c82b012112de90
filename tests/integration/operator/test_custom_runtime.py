"""A container of the user's own on a real API server: examples/vllm as the operator makes it, and which of its pods goes first."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from atheria_contract import names
from tests.integration.operator.harness import eventually

EXAMPLE = Path(__file__).parents[3] / "examples" / "vllm" / "model.yaml"
ADDRESSES = ("127.79.0.1", "127.79.0.2", "127.79.0.3")
SERIES = ("vllm:num_requests_running", "vllm:num_requests_waiting")


@pytest.fixture
def engines() -> Iterator[dict[str, tuple[int, int]]]:
    """Servers that show what runs and waits at each address, and nothing else of what ours do."""
    found = dict.fromkeys(ADDRESSES, (0, 0))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls = found[str(self.server.server_address[0])]
            lines = [f'{name}{{engine="0"}} {value:.1f}\n' for name, value in zip(SERIES, calls, strict=True)]
            body = "".join(lines).encode()
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ExitStack() as stack:
        for address in ADDRESSES:
            server = stack.enter_context(ThreadingHTTPServer((address, names.PORT_HTTP), Handler))
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(server.shutdown)
        yield found


def test_the_example_is_served_and_its_idlest_pod_goes_first(
    space: Any, engines: dict[str, tuple[int, int]]
) -> None:
    spec = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["spec"]
    spec["scaling"] = {"class": "external", "maxReplicas": 3}
    space.apply_model(**spec, replicas=3)
    revision = space.wait_active()
    (container,) = space.get("deployment", revision)["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["vllm", "serve"]
    assert container["startupProbe"]["httpGet"]["path"] == "/health"
    pods = [pod["metadata"]["name"] for pod in space.wait_pods(revision, len(ADDRESSES))]
    for pod, address in zip(pods, ADDRESSES, strict=True):
        space.set_pod(pod, ready=True, podIP=address, podIPs=[{"ip": address}])
    eventually("all pods counted", lambda: space.model()["status"].get("readyReplicas") == 3, 120)
    assert space.wait_condition("Ready", "True")
    assert space.wait_condition("QualityAccepted", "True", "CustomRuntime")
    engines |= {ADDRESSES[0]: (2, 0), ADDRESSES[1]: (1, 0), ADDRESSES[2]: (1, 5)}
    space.apply_model(**spec, replicas=2)

    def left() -> set[str] | None:
        there = [one for one in space.get("pods")["items"] if not one["metadata"].get("deletionTimestamp")]
        found = {one["metadata"]["name"] for one in there if one["metadata"]["name"].startswith(revision)}
        return found if len(found) == 2 else None

    assert eventually("two pods", left, 120) == {pods[0], pods[2]}


def test_what_a_custom_runtime_cannot_obey_is_said_in_the_status(space: Any) -> None:
    model = {"source": "hf://owner/name@1", "runtime": "custom"}
    space.apply_model(model=model)
    condition = space.wait_condition("Accepted", "False", "InvalidSpec")
    assert "no container 'model' with an image" in condition["message"]


@pytest.mark.parametrize(
    ("custom", "word"),
    [
        ({"runtime": "vllm"}, 'spec.model.runtime: Unsupported value: "vllm"'),
        ({"runtime": "custom", "custom": {"readyPath": "health"}}, "spec.model.custom.readyPath"),
        (
            {"runtime": "custom", "custom": {"inFlightMetrics": ["a b"]}},
            "spec.model.custom.inFlightMetrics[0]",
        ),
    ],
    ids=json.dumps,
)
def test_what_it_may_say_is_bounded_by_the_api_server(bare: Any, custom: dict[str, Any], word: str) -> None:
    manifest = bare.manifest(model={"source": "hf://owner/name@1", **custom})
    done = bare.cluster.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
    assert done.returncode != 0
    assert word in done.stderr
