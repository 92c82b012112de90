"""A client that knows no proto file, as grpcurl: it learns services and messages by reflection and calls with JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

SECONDS = 60
SERVICE = "inference.GRPCInferenceService"


class Curl:
    """Everything it knows of the server comes from the server."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target)
        self._stub = reflection_pb2_grpc.ServerReflectionStub(self.channel)
        self.pool = DescriptorPool()
        self._files: set[str] = set()

    def services(self) -> list[str]:
        answer = self._ask(list_services="")
        return [service.name for service in answer.list_services_response.service]

    def learn(self, symbol: str) -> Any:
        """The service's descriptor, after its file and all that it imports."""
        self._add(self._ask(file_containing_symbol=symbol))
        return self.pool.FindServiceByName(symbol)

    def call(self, method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A unary call with a JSON body."""
        found = self.learn(SERVICE).methods_by_name[method]
        ask = self.channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(found.output_type).FromString,
        )
        message = ParseDict(body or {}, GetMessageClass(found.input_type)())
        return MessageToDict(ask(message, timeout=SECONDS), preserving_proto_field_name=True)

    def _ask(self, **question: str) -> Any:
        request = reflection_pb2.ServerReflectionRequest(**question)
        (answer,) = self._stub.ServerReflectionInfo(iter([request]), timeout=SECONDS)
        assert not answer.HasField("error_response"), answer.error_response
        return answer

    def _add(self, answer: Any) -> None:
        for data in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(data)
            if file.name in self._files:
                continue
            self._files.add(file.name)
            for name in file.dependency:
                if name not in self._files:
                    self._add(self._ask(file_by_filename=name))
            self.pool.AddSerializedFile(data)


@pytest.fixture
def curl(gate_server: Any) -> Iterator[Curl]:
    made = Curl(gate_server.grpc)
    yield made
    made.channel.close()


def test_every_listed_service_can_be_learned_with_all_its_messages(curl: Curl) -> None:
    services = curl.services()
    assert set(services) == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    for service in services:
        for method in curl.learn(service).methods:
            assert GetMessageClass(method.input_type)().ByteSize() == 0
            assert GetMessageClass(method.output_type)().ByteSize() == 0


def test_every_call_of_the_inference_service_is_shown(curl: Curl) -> None:
    methods = {m.name: (m.client_streaming, m.server_streaming) for m in curl.learn(SERVICE).methods}
    unary = {
        *("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"),
        *("ModelConfig", "ModelStatistics"),
        *("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"),
    }
    assert methods == {"ModelStreamInfer": (True, True), **dict.fromkeys(unary, (False, False))}


def test_calls_with_json_bodies_are_answered(curl: Curl) -> None:
    assert curl.call("ServerReady") == {"ready": True}
    metadata = curl.call("ModelMetadata", {"name": "m"})
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "-1"]}]
    x = {"name": "x", "datatype": "FP32", "shape": [1, 2], "contents": {"fp32_contents": [1, 2]}}
    answer = curl.call(
        "ModelInfer", {"model_name": "m", "id": "9", "inputs": [x], "outputs": [{"name": "y"}]}
    )
    assert (answer["id"], answer["outputs"]) == (
        "9",
        [{"name": "y", "datatype": "FP32", "shape": ["1", "2"]}],
    )
    (raw,) = ParseDict(answer, _response(curl)).raw_output_contents
    assert np.frombuffer(raw, np.float32).tolist() == [2, 4]
    config = curl.call("ModelConfig", {"name": "m"})["config"]
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": ["-1"]}]
    (stats,) = curl.call("ModelStatistics", {"name": "m"})["model_stats"]
    assert int(stats["inference_stats"]["success"]["count"]) >= 1
    assert curl.call("RepositoryIndex")["models"][0]["state"] == "READY"


def test_a_refused_change_carries_its_code(curl: Curl) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        curl.call("RepositoryModelLoad", {"model_name": "m"})
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_an_unknown_symbol_is_an_error_of_reflection_and_no_broken_stream(curl: Curl) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.Such")
    stub = reflection_pb2_grpc.ServerReflectionStub(curl.channel)
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=SECONDS)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def _response(curl: Curl) -> Any:
    return GetMessageClass(curl.learn(SERVICE).methods_by_name["ModelInfer"].output_type)()
