"""Runs in KServe's own environment: makes the calls of its gRPC or REST client and prints what came back as JSON.

`kserve_calls.py grpc TARGET` or `kserve_calls.py rest URL`; the server mirrors its tensors as model `m`.
"""

import asyncio
import json
import sys

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

VALUES = {
    "BOOL": np.array([[True, False]]),
    "UINT8": np.array([[0, 255]], np.uint8),
    "UINT64": np.array([[0, 2**63]], np.uint64),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT64": np.array([[-(2**63), 1]], np.int64),
    "FP16": np.array([[0.5, -65504]], np.float16),
    "FP32": np.array([[0.5, 3e38]], np.float32),
    "FP64": np.array([[0.1, 1e300]], np.float64),
    "BYTES": np.array([["grün".encode(), b""]], object),
}
JSON_ALONE = ("FP32", "INT64", "BYTES")


def request(datatype, *, binary, model="m", outputs=None, parameters=None, version=None):
    values = VALUES[datatype]
    tensor = InferInput("x", list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    return InferRequest(
        model,
        [tensor],
        request_id=f"id-{datatype}",
        request_outputs=outputs,
        parameters=parameters,
        model_version=version,
    )


def compared(answer, datatype):
    """[id, whether the values are those that were sent]"""
    found = answer.get_output_by_name("x").as_numpy().astype(object)
    if datatype == "BYTES":  # the REST client hands texts out
        found = np.vectorize(lambda v: v.encode() if isinstance(v, str) else v, otypes=[object])(found)
    return [answer.id, found.tolist() == VALUES[datatype].astype(object).tolist()]


async def failure(call):
    try:
        await call
    except (grpc.RpcError, httpx.HTTPStatusError) as error:
        return f"{type(error).__name__}: {error}"
    return "no failure"


async def grpc_calls(target):
    client = InferenceGRPCClient(target, retries=0)
    async with client:
        return {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model_ready": await client.is_model_ready("m"),
            "raw": {
                datatype: compared(await client.infer(request(datatype, binary=True)), datatype)
                for datatype in VALUES
            },
            "contents": {
                datatype: compared(await client.infer(request(datatype, binary=False)), datatype)
                for datatype in JSON_ALONE
            },
            "unknown": await failure(client.is_model_ready("nobody")),
            "version": await failure(client.infer(request("FP32", binary=True, version="2"))),
        }


async def rest_calls(url):
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    everything = {"binary_data_output": True}
    one = [RequestedOutput("x", {"binary_data": True})]
    try:
        return {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model_ready": await client.is_model_ready(url, "m"),
            "unknown_ready": await client.is_model_ready(url, "nobody"),
            "raw": {
                datatype: compared(
                    await client.infer(url, request(datatype, binary=True, parameters=everything), "m"),
                    datatype,
                )
                for datatype in VALUES
            },
            "one_raw": compared(
                await client.infer(url, request("INT64", binary=False, outputs=one), "m"), "INT64"
            ),
            "json": {
                datatype: compared(await client.infer(url, request(datatype, binary=False), "m"), datatype)
                for datatype in JSON_ALONE
            },
            "unknown": await failure(client.infer(url, request("FP32", binary=True), "nobody")),
        }
    finally:
        await client.close()


if __name__ == "__main__":
    kind, address = sys.argv[1:]
    print(json.dumps(asyncio.run((grpc_calls if kind == "grpc" else rest_calls)(address))))  # noqa: T201
