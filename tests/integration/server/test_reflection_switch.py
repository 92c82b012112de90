"""Reflection can be turned off, and then nothing else goes with it."""

from __future__ import annotations

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.integration.server.harness import Server

SECONDS = 60


@pytest.mark.parametrize("text", ["on", ""])
def test_reflection_is_on_unless_it_is_turned_off(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ATHERIA_GRPC_REFLECTION", text)
    with Server("builtin://echo") as server, server.stub() as stub:
        assert "inference.GRPCInferenceService" in services(stub.channel)


def test_with_reflection_off_only_reflection_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATHERIA_GRPC_REFLECTION", "off")
    with Server("builtin://echo") as server, server.stub() as stub:
        with pytest.raises(grpc.RpcError) as refused:
            services(stub.channel)
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert stub.infer(stub.request())["y"].tolist() == [[1.0]]


def services(channel: grpc.Channel) -> list[str]:
    """What reflection lists."""
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    answer = next(iter(stub.ServerReflectionInfo(iter([ask]), timeout=SECONDS)))
    return [service.name for service in answer.list_services_response.service]
