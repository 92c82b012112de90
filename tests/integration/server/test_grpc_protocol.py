"""The Open Inference Protocol as an unmodified tritonclient sees it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient.utils import InferenceServerException

from atheria_contract.generated import inference_pb2 as pb
from atheria_contract.generated import inference_pb2_grpc as pb_grpc
from tests.integration.server.harness import StreamClient, tensor


@pytest.fixture
def client(qca_server: Any) -> Iterator[triton.InferenceServerClient]:
    found = triton.InferenceServerClient(qca_server.grpc)
    yield found
    found.close()


def seed(*values: int) -> triton.InferInput:
    return tensor("seed", np.array(values, np.int64), "INT64")


SIZE = {"height": 16, "width": 16}


def test_a_ready_server_says_so_in_every_way(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("qca")
    assert client.is_model_ready("qca", "1")
    assert client.get_server_metadata().name == "atheria"


def test_metadata_lists_inputs_and_outputs_with_their_shapes(client: triton.InferenceServerClient) -> None:
    metadata = client.get_model_metadata("qca")
    inputs = {item.name: (item.datatype, list(item.shape)) for item in metadata.inputs}
    outputs = {item.name: (item.datatype, list(item.shape)) for item in metadata.outputs}
    assert inputs == {"state": ("FP32", [-1, 16, -1, -1]), "seed": ("INT64", [-1])}
    assert outputs["metrics"] == ("FP32", [-1, 5])
    assert outputs["picture"] == ("UINT8", [-1, 2, -1, -1])
    assert set(outputs) == {"state", "density", "phase", "metrics", "picture"}


def test_all_outputs_come_without_a_wish_and_only_the_wanted_ones_with_one(
    client: triton.InferenceServerClient,
) -> None:
    everything = client.infer("qca", [seed(1)], parameters=SIZE)
    assert [o.name for o in everything.get_response().outputs] == ["state", "density", "phase", "metrics"]
    wanted = [triton.InferRequestedOutput("phase"), triton.InferRequestedOutput("state")]
    some = client.infer("qca", [seed(1)], outputs=wanted, parameters=SIZE, request_id="abc")
    assert [o.name for o in some.get_response().outputs] == ["phase", "state"]
    assert some.get_response().id == "abc"
    np.testing.assert_array_equal(some.as_numpy("state"), everything.as_numpy("state"))


def test_an_unknown_output_is_refused_with_the_known_ones(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="state, density, phase, metrics") as refused:
        client.infer("qca", [seed(1)], outputs=[triton.InferRequestedOutput("colour")])
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize("ask", ["is_model_ready", "get_model_metadata"])
def test_another_name_is_not_found_and_the_served_one_is_told(
    client: triton.InferenceServerClient, ask: str
) -> None:
    with pytest.raises(InferenceServerException, match="serves 'qca'") as refused:
        getattr(client, ask)("nobody")
    assert refused.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(InferenceServerException, match="serves 'qca'"):
        client.infer("nobody", [seed(1)])
    with pytest.raises(InferenceServerException, match="no version '2'"):
        client.infer("qca", [seed(1)], model_version="2")


def test_what_is_not_offered_is_refused_with_a_sentence(client: triton.InferenceServerClient) -> None:
    with pytest.raises(
        InferenceServerException, match="TraceSetting is not offered; there are ServerLive"
    ) as refused:
        client.get_trace_settings()
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"


def test_the_standard_health_service_knows_the_server_and_the_model(qca_server: Any) -> None:
    with grpc.insecure_channel(qca_server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "qca", "inference.GRPCInferenceService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as refused:
            health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=20)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_describes_the_protocol_to_clients_without_its_file(qca_server: Any) -> None:
    with grpc.insecure_channel(qca_server.grpc) as channel:
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        questions = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService"),
        ]
        listed, described = ask(iter(questions), timeout=20)
    services = {service.name for service in listed.list_services_response.service}
    assert services == {
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    pool = DescriptorPool()
    for file in described.file_descriptor_response.file_descriptor_proto:
        pool.AddSerializedFile(file)
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    assert "ModelStreamInfer" in {method.name for method in service.methods}


def test_a_stream_gives_a_frame_per_every_steps_and_then_an_empty_final_answer(qca_server: Any) -> None:
    with StreamClient(qca_server.grpc) as stream:
        wanted = [triton.InferRequestedOutput("density")]
        parameters = {**SIZE, "steps": 10, "every": 4}
        stream.send("qca", [seed(5, 6)], outputs=wanted, parameters=parameters, request_id="s1")
        frames, final = stream.until_final()
    assert [f.get_response().parameters["step"].int64_param for f in frames] == [4, 8, 10]
    assert [f.as_numpy("density").shape for f in frames] == [(2, 16, 16)] * 3
    assert all([o.name for o in f.get_response().outputs] == ["density"] for f in frames)
    assert final.get_response().id == "s1"
    assert not final.get_response().outputs


def test_the_last_frame_of_a_stream_equals_the_unary_answer(
    qca_server: Any, client: triton.InferenceServerClient
) -> None:
    parameters = {**SIZE, "steps": 6, "every": 3}
    with StreamClient(qca_server.grpc) as stream:
        stream.send("qca", [seed(9)], parameters=parameters)
        frames, _ = stream.until_final()
    unary = client.infer("qca", [seed(9)], parameters={**SIZE, "steps": 6})
    np.testing.assert_array_equal(frames[-1].as_numpy("state"), unary.as_numpy("state"))


def test_a_wrong_request_on_a_stream_is_one_error_message_and_the_stream_goes_on(qca_server: Any) -> None:
    with StreamClient(qca_server.grpc) as stream:
        stream.send("qca", [seed(1)], parameters={**SIZE, "steps": 1000})
        _, error = stream.take()
        assert "steps" in str(error)
        stream.send("nobody", [seed(1)])
        _, error = stream.take()
        assert "serves 'qca'" in str(error)
        stream.send("qca", [seed(1)], parameters={**SIZE, "steps": 2, "every": 1})
        frames, _ = stream.until_final()
        assert len(frames) == 2


def test_requests_of_one_stream_are_answered_side_by_side(qca_server: Any) -> None:
    with StreamClient(qca_server.grpc) as stream:
        for number in range(12):
            parameters = {**SIZE, "steps": 2, "every": 1}
            stream.send("qca", [seed(number)], parameters=parameters, request_id=str(number))
        finals = [stream.until_final()[1].get_response().id for _ in range(12)]
    assert sorted(finals, key=int) == [str(number) for number in range(12)]


def test_a_batch_of_four_equals_four_singles_bit_for_bit(client: triton.InferenceServerClient) -> None:
    rng = np.random.default_rng(4)
    states = rng.standard_normal((4, 16, 16, 16)).astype(np.float32)
    together = client.infer("qca", [tensor("state", states)], parameters={"steps": 16})
    for row in range(4):
        alone = client.infer("qca", [tensor("state", states[row : row + 1])], parameters={"steps": 16})
        for name in ("state", "density", "phase", "metrics"):
            assert alone.as_numpy(name).tobytes() == together.as_numpy(name)[row : row + 1].tobytes()


def test_only_the_worker_loads_torch(qca_server: Any) -> None:
    maps = Path(f"/proc/{qca_server.process.pid}/maps").read_text()
    assert "grpc" in maps
    assert "libtorch" not in maps


async def test_a_burst_is_answered_or_refused_in_words_and_never_cut_off(qca_server: Any) -> None:
    asked = pb.ModelInferRequest(model_name="qca")
    one = asked.inputs.add(name="seed", datatype="INT64", shape=[1])
    one.contents.int64_contents.append(1)
    for key, value in SIZE.items():
        asked.parameters[key].int64_param = value

    async def code(stub: Any) -> grpc.StatusCode:
        try:
            await stub.ModelInfer(asked, timeout=120)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    async with grpc.aio.insecure_channel(str(qca_server.grpc)) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        codes = Counter(await asyncio.gather(*(code(stub) for _ in range(3000))))
    assert codes[grpc.StatusCode.OK] > 0
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}, codes
