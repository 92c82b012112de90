"""REST version 2 of the Open Inference Protocol, JSON and the binary tensor extension, by plain HTTP."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import requests

from tests.integration.server.harness import arrays

HEADER = "Inference-Header-Content-Length"
SECONDS = 60


def post(
    server: Any, body: Any, *, model: str = "", headers: dict[str, str] | None = None
) -> requests.Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"{server.http}/v2/models/{model or server.name}/infer"
    return requests.post(url, data=data, headers=headers, timeout=SECONDS)


def x_input(values: Any = ((1.0, 2.0),)) -> dict[str, Any]:
    return {
        "name": "x",
        "datatype": "FP32",
        "shape": list(np.shape(values)),
        "data": np.asarray(values).tolist(),
    }


def test_health_tells_live_and_ready(gate_server: Any) -> None:
    for path in (
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/m/ready",
        "/v2/models/m/versions/1/ready",
        "/health",
    ):
        assert requests.get(gate_server.http + path, timeout=SECONDS).status_code == 200, path


def test_metadata_is_that_of_grpc(gate_server: Any) -> None:
    metadata = requests.get(f"{gate_server.http}/v2/models/m", timeout=SECONDS).json()
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}]
    assert [o["name"] for o in metadata["outputs"]] == ["y", "rows", "pid", "serial"]
    assert requests.get(f"{gate_server.http}/v2", timeout=SECONDS).json()["name"] == "atheria"


def test_a_json_request_gets_a_json_answer(gate_server: Any) -> None:
    answer = post(gate_server, {"id": "5", "inputs": [x_input()], "outputs": [{"name": "y"}]})
    assert answer.status_code == 200
    assert answer.json() == {
        "model_name": "m",
        "model_version": "1",
        "id": "5",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [2.0, 4.0]}],
    }


def test_binary_tensors_go_both_ways(gate_server: Any) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    document = {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [2, 3], "parameters": {"binary_data_size": x.nbytes}}
        ],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}, {"name": "rows"}],
    }
    head = json.dumps(document).encode()
    answer = post(gate_server, head + x.tobytes(), headers={HEADER: str(len(head))})
    assert answer.status_code == 200, answer.text
    length = int(answer.headers[HEADER])
    y, rows = json.loads(answer.content[:length])["outputs"]
    assert y["parameters"] == {"binary_data_size": x.nbytes}
    np.testing.assert_array_equal(np.frombuffer(answer.content[length:], np.float32).reshape(2, 3), 2 * x)
    assert rows["data"] == [2.0, 2.0]


def test_all_outputs_as_binary_by_one_request_parameter(gate_server: Any) -> None:
    answer = post(gate_server, {"inputs": [x_input()], "parameters": {"binary_data_output": True}})
    length = int(answer.headers[HEADER])
    outputs = json.loads(answer.content[:length])["outputs"]
    assert all("data" not in output for output in outputs)
    assert len(answer.content) - length == sum(o["parameters"]["binary_data_size"] for o in outputs)


def test_rest_and_grpc_calls_share_a_batch(gate_server: Any, stub: Any, gate: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        with gate.held(stub):
            by_grpc = stub.begin(stub.request([[1.0, 2.0]]))
            by_rest = pool.submit(post, gate_server, {"inputs": [x_input()]})
            gate_server.wait_queue_depth(2)
        assert arrays(by_grpc.result())["rows"].tolist() == [2.0]
        outputs = {o["name"]: o["data"] for o in by_rest.result(SECONDS).json()["outputs"]}
        assert outputs["rows"] == [2.0]


GOOD = {"name": "x", "datatype": "FP32", "shape": [1, 2]}
WRONG: list[tuple[str, Any, dict[str, str], int, str]] = [
    ("no JSON", b"{", {}, 400, "not JSON"),
    ("an array", b"[]", {}, 400, "expected an object"),
    (
        "too few values",
        {"inputs": [GOOD | {"data": [1.0]}]},
        {},
        400,
        "'x' of shape [1, 2] needs 2 elements, got 1",
    ),
    ("ragged values", {"inputs": [GOOD | {"data": [[1.0], 2.0]}]}, {}, 400, "ragged"),
    ("texts for numbers", {"inputs": [GOOD | {"data": ["a", "b"]}]}, {}, 400, "not FP32"),
    ("no data", {"inputs": [GOOD]}, {}, 400, "no data"),
    ("a shape of texts", {"inputs": [GOOD | {"shape": ["1"], "data": [1.0]}]}, {}, 400, "shape"),
    (
        "an unknown output",
        {"inputs": [x_input()], "outputs": [{"name": "z"}]},
        {},
        400,
        "y, rows, pid, serial",
    ),
    ("a nested parameter", {"inputs": [x_input()], "parameters": {"tag": {}}}, {}, 400, "parameters"),
    ("a header beyond the body", b"{}", {HEADER: "3"}, 400, HEADER),
    ("a header that is no number", b"{}", {HEADER: "x"}, 400, HEADER),
    (
        "binary that is cut short",
        {"inputs": [GOOD | {"parameters": {"binary_data_size": 8}}]},
        {},
        400,
        "0 bytes",
    ),
    ("bytes behind the last tensor", b'{"inputs":[]}xyz', {HEADER: "13"}, 400, "3 bytes follow"),
]


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_a_wrong_body_is_a_json_error(
    gate_server: Any, body: Any, headers: dict[str, str], status: int, words: str
) -> None:
    answer = post(gate_server, body, headers=headers)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]
    assert post(gate_server, {"inputs": [x_input()]}).status_code == 200


def test_an_unknown_model_and_an_unknown_path_are_json_errors(gate_server: Any) -> None:
    answer = post(gate_server, {"inputs": [x_input()]}, model="nobody")
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "no model 'nobody' here; this server serves 'm'",
    )
    lost = requests.get(f"{gate_server.http}/v2/nothing", timeout=SECONDS)
    assert lost.status_code == 404
    assert "/v2/nothing" in lost.json()["error"]


def test_a_body_beyond_the_largest_message_is_413(gate_server: Any) -> None:
    answer = post(gate_server, bytes(65 * 1024 * 1024))
    assert answer.status_code == 413
    assert "67108864" in answer.json()["error"]
    assert post(gate_server, {"inputs": [x_input()]}).status_code == 200


def test_a_full_queue_is_429_with_retry_after(gate_server: Any, stub: Any, gate: Any) -> None:
    with gate.held(stub):
        ahead = stub.begin(stub.request(np.ones((8, 1)), tag=7))
        gate_server.wait_in_flight(2)
        waiting = stub.begin(stub.request(np.ones((16, 1)), tag=1))
        gate_server.wait_in_flight(3)
        refused = post(gate_server, {"inputs": [x_input()]})
        assert refused.status_code == 429
        assert refused.headers["Retry-After"] == "1"
        assert "16 of 16 rows" in refused.json()["error"]
    assert ahead.result()
    assert waiting.result()


def test_a_client_that_goes_away_leaves_the_queue(gate_server: Any, stub: Any, gate: Any) -> None:
    with gate.held(stub):
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.post(
                f"{gate_server.http}/v2/models/m/infer", json={"inputs": [x_input()]}, timeout=(SECONDS, 0.3)
            )
        gate_server.wait_queue_depth(0)
    assert post(gate_server, {"inputs": [x_input()]}).status_code == 200


def test_an_output_that_json_cannot_carry_is_refused_with_what_to_do(gate_server: Any) -> None:
    huge = {"inputs": [x_input(((3e38,),))], "outputs": [{"name": "y"}]}
    answer = post(gate_server, huge)
    assert answer.status_code == 500
    assert "binary_data" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("POST", "/v2/models/m/nothing", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/v2/health/live", 405),
        ("GET", "/v2/models/m/infer", 405),
        ("DELETE", "/v2/models/m", 405),
        ("POST", "/health", 405),
    ],
)
def test_what_has_no_route_is_a_json_error_that_names_the_call(
    gate_server: Any, method: str, path: str, status: int
) -> None:
    answer = requests.request(method, gate_server.http + path, timeout=SECONDS)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert f"{method} {path}" in answer.json()["error"]
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    "path", ["/v2", "/v2/health/ready", "/v2/models/m", "/v2/models/m/config", "/metrics"]
)
def test_head_has_the_headers_of_get_and_no_body(gate_server: Any, path: str) -> None:
    answer = requests.head(gate_server.http + path, timeout=SECONDS)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0
    assert answer.content == b""


def test_the_version_may_be_named_in_every_path(gate_server: Any) -> None:
    prefix = f"{gate_server.http}/v2/models/m/versions/1"
    for path in ("", "/ready", "/config", "/stats"):
        assert requests.get(prefix + path, timeout=SECONDS).status_code == 200, path
    assert requests.post(f"{prefix}/infer", json={"inputs": [x_input()]}, timeout=SECONDS).status_code == 200
    other = requests.post(
        f"{gate_server.http}/v2/models/m/versions/2/infer", json={"inputs": [x_input()]}, timeout=SECONDS
    )
    assert other.status_code == 404
    assert "no version '2'" in other.json()["error"]


def test_nulls_are_as_absent_and_other_wrong_fields_are_named(gate_server: Any) -> None:
    empty = {"id": None, "parameters": None, "outputs": None}
    answer = post(gate_server, {"inputs": [x_input() | {"parameters": None}], **empty})
    assert answer.status_code == 200, answer.text
    assert "id" not in answer.json()
    for wrong, words in (
        ({"id": 5}, "id 5"),
        ({"parameters": {"binary_data_output": 1}}, "binary_data_output"),
        ({"outputs": [{"name": "y", "parameters": {"binary_data": "yes"}}]}, "output 'y'"),
        ({"inputs": [x_input() | {"parameters": {"binary_data_size": 0}}]}, "data and binary_data_size"),
    ):
        refused = post(gate_server, {"inputs": [x_input()], **wrong})
        assert refused.status_code == 400, refused.text
        assert words in refused.json()["error"]


def test_a_named_repository_is_unknown_and_its_models_cannot_be_changed(gate_server: Any) -> None:
    index = requests.post(f"{gate_server.http}/v2/repository/mine/index", timeout=SECONDS)
    assert index.status_code == 404
    assert "no repository 'mine'" in index.json()["error"]
    change = requests.post(f"{gate_server.http}/v2/repository/mine/models/m/unload", timeout=SECONDS)
    assert change.status_code == 501


@pytest.mark.parametrize(
    "path",
    [
        "/v2/logging",
        "/v2/trace/setting",
        "/v2/models/m/trace/setting",
        "/v2/systemsharedmemory/status",
        "/v2/cudasharedmemory/region/a/register",
        "/v2/models/m/generate",
        "/v2/models/m/versions/1/generate_stream",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_tritons_other_calls_are_501_with_a_sentence(gate_server: Any, method: str, path: str) -> None:
    answer = requests.request(method, gate_server.http + path, timeout=SECONDS)
    assert answer.status_code == 501
    assert answer.json()["error"].startswith("this server does not offer ")
