"""What a caller of a warm model sees through the gateway: answers, batches, frames, names, and clear refusals."""

from __future__ import annotations

import json
import queue
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException
from websockets.sync.client import connect

from atheria_cli.cluster import Cluster, wait_for
from atheria_cli.demo.calls import QcaClient
from atheria_cli.demo.show import _sample
from atheria_contract import names
from atheria_contract.generated import inference_pb2 as oip
from atheria_contract.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from tests.e2e.model import (
    GATEWAY,
    NAMESPACE,
    apply,
    delete,
    headers,
    infer,
    live_pods,
    manifest,
    ripple,
    wait_condition,
)

MODEL = "calls"
REST = f"http://127.0.0.1:{names.PORT_HTTP}"


@pytest.fixture(scope="module")
def warm(cluster: Cluster) -> Iterator[str]:
    apply(cluster, manifest(MODEL, scaling={"minReplicas": 1, "maxReplicas": 1}))
    wait_condition(cluster, MODEL, "Warm", status="True")
    yield MODEL
    delete(cluster, MODEL)


@pytest.fixture
def client() -> Iterator[triton.InferenceServerClient]:
    found = triton.InferenceServerClient(GATEWAY)
    yield found
    found.close()


def test_health_and_metadata_are_answered(warm: str, client: triton.InferenceServerClient) -> None:
    assert client.is_server_live(headers=headers(warm))
    assert client.is_server_ready(headers=headers(warm))
    assert client.is_model_ready(warm, headers=headers(warm))
    metadata = client.get_model_metadata(warm, headers=headers(warm), as_json=True)
    assert {item["name"] for item in metadata["outputs"]} == {
        "state",
        "density",
        "phase",
        "metrics",
        "picture",
    }


def test_a_burst_of_64_calls_is_computed_in_batches(cluster: Cluster, warm: str) -> None:
    (pod,) = live_pods(cluster, warm)

    def counters() -> tuple[float, float]:
        text = cluster.metrics(NAMESPACE, pod, names.PORT_HTTP)
        return _sample(text, f"{names.METRIC_BATCH_SIZE}_count"), _sample(
            text, f"{names.METRIC_BATCH_SIZE}_sum"
        )

    before = counters()
    client = QcaClient(GATEWAY, warm, NAMESPACE)
    answers = client.burst(ripple(3, 16), calls=64, steps=8)
    client.close()
    after = counters()
    assert len(answers) == 64
    assert after[1] - before[1] == 64
    assert (after[1] - before[1]) / (after[0] - before[0]) > 1


def test_four_rows_in_one_call_are_bit_for_bit_those_of_four_calls(
    warm: str, client: triton.InferenceServerClient
) -> None:
    rows = ripple(3, 32, rows=4)
    together = infer(client, warm, rows, steps=64)
    alone = [infer(client, warm, rows[index : index + 1], steps=64) for index in range(4)]
    assert together.tobytes() == np.concatenate(alone).tobytes()


def test_a_stream_gives_one_frame_per_two_steps_and_then_ends(warm: str) -> None:
    client = QcaClient(GATEWAY, warm, NAMESPACE)
    frames = list(client.stream(seed=5, size=32, steps=64, every=2))
    client.close()
    assert [step for step, _ in frames] == list(range(2, 65, 2))
    assert frames[-1][1].shape == (32, 32)
    assert not np.array_equal(frames[0][1], frames[-1][1])


def test_the_in_cluster_name_picks_the_model_without_a_header(cluster: Cluster, warm: str) -> None:
    service = cluster.get("service", warm, NAMESPACE)
    target = f"{service['spec']['clusterIP']}:{names.PORT_GRPC}"
    for authority in (f"{warm}.{NAMESPACE}:8001", f"{warm}.{NAMESPACE}.svc.cluster.local"):
        with grpc.insecure_channel(target, options=[("grpc.default_authority", authority)]) as channel:
            reply = GRPCInferenceServiceStub(channel).ModelReady(oip.ModelReadyRequest(name=warm), timeout=20)
            assert reply.ready


def test_rest_picks_the_model_by_its_path(warm: str) -> None:
    body = {
        "inputs": [{"name": "seed", "shape": [1], "datatype": "INT64", "data": [3]}],
        "parameters": {"height": 8, "width": 8, "steps": 2},
        "outputs": [{"name": "metrics"}],
    }
    request = urllib.request.Request(
        f"{REST}/v2/models/{warm}/infer", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        document = json.load(answer)
    (output,) = document["outputs"]
    assert output["name"] == "metrics"
    assert output["shape"] == [1, 5]
    assert output["data"][4] == pytest.approx(1.0, abs=1e-5)


def test_frames_come_through_the_gateway_by_websocket(warm: str) -> None:
    request = {
        "inputs": [{"name": "seed", "shape": [1], "datatype": "INT64", "data": [5]}],
        "parameters": {"height": 8, "width": 8, "steps": 6, "every": 2},
        "outputs": [{"name": "density"}],
    }
    address = f"ws://127.0.0.1:{names.PORT_HTTP}/v2/models/{warm}/stream"
    with connect(address, additional_headers=headers(warm), open_timeout=30) as socket:
        socket.send(json.dumps(request))
        *frames, final = (json.loads(socket.recv(timeout=30)) for _ in range(4))
    assert [frame["parameters"]["step"] for frame in frames] == [2, 4, 6]
    assert final["final"] is True
    assert final["frames"] == 3


WRONG: list[tuple[str, str, dict[str, Any], str]] = [
    ("a shape that is no torus of eights", "INVALID_ARGUMENT", {"shape": [1, 16, 12, 12]}, "multiple"),
    ("a channel count that is not 2d", "INVALID_ARGUMENT", {"shape": [1, 15, 16, 16]}, "state"),
    ("a dtype that is not FP32", "INVALID_ARGUMENT", {"datatype": "INT32"}, "FP32"),
    ("a model that is not served here", "NOT_FOUND", {"model": "nobody"}, "nobody"),
    ("no bytes at all", "INVALID_ARGUMENT", {"raw": b""}, "bytes"),
    ("truncated raw bytes", "INVALID_ARGUMENT", {"raw": bytes(1000)}, "bytes"),
    ("65 MB", "RESOURCE_EXHAUSTED", {"raw": bytes(65 * 2**20), "shape": [17, 16, 256, 256]}, ""),
    (
        "a state with NaN",
        "INVALID_ARGUMENT",
        {"raw": np.full(16 * 16 * 16, np.nan, np.float32).tobytes()},
        "finite",
    ),
    ("65 steps", "INVALID_ARGUMENT", {"steps": 65}, "steps"),
]


@pytest.mark.parametrize(("what", "status", "change", "words"), WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_call_is_refused_clearly_and_the_next_call_works(
    warm: str,
    client: triton.InferenceServerClient,
    what: str,
    status: str,
    change: dict[str, Any],
    words: str,
) -> None:
    state = ripple(3, 16)
    request = oip.ModelInferRequest(model_name=change.get("model", warm))
    tensor = request.inputs.add(name="state", datatype=change.get("datatype", "FP32"))
    tensor.shape.extend(change.get("shape", state.shape))
    count = int(np.prod(list(tensor.shape)))
    request.raw_input_contents.append(change.get("raw", bytes(4 * count)))
    request.parameters["steps"].int64_param = change.get("steps", 8)
    with grpc.insecure_channel(GATEWAY, options=[("grpc.max_send_message_length", -1)]) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            GRPCInferenceServiceStub(channel).ModelInfer(
                request, timeout=60, metadata=tuple(headers(warm).items())
            )
        assert refused.value.code() == grpc.StatusCode[status], refused.value.details()
        assert words in refused.value.details()
    assert infer(client, warm, state).shape == state.shape


def test_a_name_that_no_model_has_is_not_found_with_the_header_and_the_choices(warm: str) -> None:
    client = triton.InferenceServerClient(GATEWAY)
    with pytest.raises(InferenceServerException) as refused:
        client.is_model_ready(warm, headers={names.HEADER_MODEL: "e2e/nobody"})
    client.close()
    assert refused.value.status() == "StatusCode.NOT_FOUND"
    assert names.HEADER_MODEL in refused.value.message()
    assert f"{NAMESPACE}/{warm}" in refused.value.message()


@pytest.fixture
def another(cluster: Cluster) -> Iterator[str]:
    """A second model, at zero: a call that names none of them can then go to neither."""
    name = "another"
    apply(cluster, manifest(name, scaling={"minReplicas": 0, "maxReplicas": 1, "initialReplicas": 0}))
    wait_condition(cluster, name, "Ready", status="True", reason="ScaledToZero")
    yield name
    delete(cluster, name)


def test_rest_without_a_known_model_is_a_404_that_names_the_header_and_the_choices(
    warm: str, another: str
) -> None:
    text = ""

    def named() -> str | None:
        nonlocal text
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{REST}/v2/models/nobody/infer", data=b"{}", timeout=20)
        with refused.value as answer:
            assert answer.code == 404
            text = answer.read().decode()
        return text if f"{NAMESPACE}/{another}" in text else None

    # Envoy may hear of a new model later than the operator.
    text = wait_for("a refusal that knows both models", named, timeout_seconds=60, describe=lambda: text)
    assert names.HEADER_MODEL in text
    assert f"{NAMESPACE}/{warm}" in text


def test_a_stream_reports_a_wrong_request_and_stays_usable(
    warm: str, client: triton.InferenceServerClient
) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers=headers(warm))
    tensor = triton.InferInput("seed", [1], "INT64")
    tensor.set_data_from_numpy(np.array([1], np.int64))
    size = {"height": 8, "width": 8}
    client.async_stream_infer(warm, [tensor], parameters={**size, "steps": 1000, "every": 1})
    _, error = answers.get(timeout=30)
    assert "steps" in str(error)
    client.async_stream_infer(warm, [tensor], parameters={**size, "steps": 2, "every": 1})
    result, error = answers.get(timeout=30)
    assert error is None
    assert result.as_numpy("density").shape == (1, 8, 8)
    client.stop_stream()
