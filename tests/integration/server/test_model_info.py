"""Configuration, statistics and repository index, by tritonclient over gRPC and by the paths it uses over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.integration.server.harness import GATE_SOURCE, Gate, Server, tensor

SECONDS = 60


@pytest.fixture
def client(gate_server: Any) -> Iterator[triton.InferenceServerClient]:
    found = triton.InferenceServerClient(gate_server.grpc)
    yield found
    found.close()


def test_the_configuration_is_the_one_that_the_server_runs_with(
    client: triton.InferenceServerClient,
) -> None:
    config = client.get_model_config("m").config
    assert (config.name, config.platform, config.max_batch_size) == ("m", "litserve", 8)
    assert config.dynamic_batching.max_queue_delay_microseconds == 10_000_000
    assert config.dynamic_batching.priority_levels >= config.dynamic_batching.default_priority_level > 1
    assert [group.count for group in config.instance_group] == [1]
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [("x", 11, [-1])]
    outputs = [(t.name, t.data_type, list(t.dims)) for t in config.output]
    assert outputs == [("y", 11, [-1]), ("rows", 11, []), ("pid", 9, []), ("serial", 9, [])]
    assert config.model_transaction_policy.decoupled
    assert config.parameters["max_queue_depth"].string_value == "16"


def test_inputs_that_a_call_may_leave_out_are_optional(qca_server: Any) -> None:
    with triton.InferenceServerClient(qca_server.grpc) as client:
        inputs = client.get_model_config("qca", "1").config.input
    assert {t.name: t.optional for t in inputs} == {"state": True, "seed": True}


def test_statistics_count_calls_rows_batches_and_failures(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with (
        Server(GATE_SOURCE, "--max-latency", "10s", "--max-batch-size", "4") as server,
        server.stub() as stub,
    ):
        with triton.InferenceServerClient(server.grpc) as client:
            before = client.get_inference_statistics("m").model_stats[0]
            assert before.inference_stats.success.count == 0
            assert before.last_inference == 0
            with gate.held(stub) as held:
                waiting = [stub.begin(stub.request(np.ones((2, 1)))) for _ in range(2)]
                server.wait_in_flight(3)
                server.wait_queue_depth(0)
                with pytest.raises(InferenceServerException):
                    client.infer("m", [tensor("x", np.ones((1, 1), np.float32))], parameters={"colour": 1})
            for call in (held, *waiting):
                assert call.result()
            found = client.get_inference_statistics("m", "1").model_stats[0]
        stats = found.inference_stats
        assert (found.name, found.version) == ("m", "1")
        assert (found.inference_count, found.execution_count) == (5, 2)
        assert {b.batch_size: b.compute_infer.count for b in found.batch_stats} == {1: 1, 4: 1}
        assert (stats.success.count, stats.fail.count, stats.queue.count) == (3, 1, 3)
        assert (stats.compute_input.count, stats.compute_infer.count, stats.compute_output.count) == (4, 3, 3)
        assert stats.success.ns >= max(b.compute_infer.ns for b in found.batch_stats) > 0
        assert found.last_inference > 0
        over_http = requests.get(f"{server.http}/v2/models/m/stats", timeout=SECONDS).json()["model_stats"][0]
        assert over_http["inference_stats"]["success"]["ns"] == stats.success.ns
        assert over_http["batch_stats"][1] == {
            "batch_size": 4,
            "compute_infer": {"count": 1, "ns": found.batch_stats[1].compute_infer.ns},
        }


def test_an_empty_name_asks_for_the_statistics_of_every_model(
    client: triton.InferenceServerClient, gate_server: Any
) -> None:
    assert [m.name for m in client.get_inference_statistics().model_stats] == ["m"]
    every = requests.get(f"{gate_server.http}/v2/models/stats", timeout=SECONDS).json()["model_stats"]
    assert [m["name"] for m in every] == ["m"]


def test_the_index_lists_the_one_model(client: triton.InferenceServerClient, gate_server: Any) -> None:
    (model,) = client.get_model_repository_index().models
    assert (model.name, model.version, model.state, model.reason) == ("m", "1", "READY", "")
    index = requests.post(f"{gate_server.http}/v2/repository/index", data="", timeout=SECONDS).json()
    assert index == [{"name": "m", "version": "1", "state": "READY", "reason": ""}]


def test_a_model_that_still_loads_is_unavailable_with_the_reason(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    with Server(GATE_SOURCE, "--set", f"setup_gate={gate.path}", wait_ready=False) as server:
        gate.wait_held()
        url = f"{server.http}/v2/repository/index"
        (model,) = requests.post(url, data="", timeout=SECONDS).json()
        assert (model["state"], model["reason"]) == ("UNAVAILABLE", "the model is not loaded yet: loading")
        assert requests.post(url, json={"ready": True}, timeout=SECONDS).json() == []
        gate.open()
        server.wait_line("event=ready ")
        (model,) = requests.post(url, json={"ready": True}, timeout=SECONDS).json()
        assert model["state"] == "READY"


def test_loading_and_unloading_are_refused_with_what_to_do_instead(
    client: triton.InferenceServerClient, gate_server: Any
) -> None:
    for verb, change in (("load", client.load_model), ("unload", client.unload_model)):
        with pytest.raises(InferenceServerException, match=f"cannot {verb} models.*AtheriaModel") as refused:
            change("m")
        assert refused.value.status() == "StatusCode.UNIMPLEMENTED"
        url = f"{gate_server.http}/v2/repository/models/m/{verb}"
        answer = requests.post(url, json={}, timeout=SECONDS)
        assert answer.status_code == 501
        assert f"cannot {verb} models" in answer.json()["error"]


def test_another_model_has_no_configuration_here(
    client: triton.InferenceServerClient, gate_server: Any
) -> None:
    for ask in (client.get_model_config, client.get_inference_statistics):
        with pytest.raises(InferenceServerException, match="serves 'm'") as refused:
            ask("nobody")
        assert refused.value.status() == "StatusCode.NOT_FOUND"
    for path in ("nobody/config", "nobody/stats", "m/versions/2/config"):
        assert requests.get(f"{gate_server.http}/v2/models/{path}", timeout=SECONDS).status_code == 404


def test_a_litapi_without_declared_tensors_has_a_configuration_without_them() -> None:
    with Server("python://user_apis:BatchedLitAPI", "--max-batch-size", "4") as server:
        with triton.InferenceServerClient(server.grpc) as client:
            config = client.get_model_config("m").config
        assert config.max_batch_size == 0
        assert not config.input
        assert not config.model_transaction_policy.decoupled
