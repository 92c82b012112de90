"""LitServe with its own queues: HTTP with the JSON of the protocol, and a gRPC front on the same queues.

Run in the environment of litserve.txt: `python litserve_model.py HTTP_PORT GRPC_PORT`. The gRPC front is what LitServe lets one
attach: it puts the raw bytes on LitServe's request queue and waits for LitServe's response buffer.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import litserve
import numpy as np
from litserve.utils import LitAPIStatus, ResponseBufferItem

from bench.serving import model


class Api(litserve.LitAPI):
    """Requests are raw bytes (gRPC) or the protocol's JSON (HTTP); answers are of the same kind."""

    def setup(self, _device: str) -> None:
        """Make the matrix."""
        self._model = model.Model()
        self._model(np.zeros((model.MAX_BATCH, *model.ROW_SHAPE), np.float32))

    # Without annotations: LitServe makes FastAPI's route from them.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """(whether it came by gRPC, FP32 [4, 64, 64])"""
        if isinstance(request, bytes):
            return True, np.frombuffer(request, np.float32).reshape(model.ROW_SHAPE)
        return False, np.asarray(request["inputs"][0]["data"], np.float32).reshape(model.ROW_SHAPE)

    def batch(self, inputs: Any) -> Any:
        """Kinds, and FP32 [n, 4, 64, 64]."""
        return [kind for kind, _ in inputs], np.stack([row for _, row in inputs])

    def predict(self, x: Any) -> Any:
        """The product."""
        return x[0], self._model(x[1])

    def unbatch(self, output: Any) -> Any:
        """One (kind, row) each."""
        return list(zip(*output, strict=True))

    def encode_response(self, output: Any) -> Any:
        """Raw bytes, or a document."""
        is_grpc, row = output
        if is_grpc:
            return row.tobytes()
        tensor = {
            "name": model.OUTPUT,
            "shape": [1, *row.shape],
            "datatype": "FP32",
            "data": row.ravel().tolist(),
        }
        return {"model_name": model.NAME, "outputs": [tensor]}


class Server(litserve.LitServer):
    """LitServe, and a gRPC server in its API process."""

    grpc_port = 0

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """grpc.aio is made here: after LitServe has forked."""
        import grpc

        from atheria_contract.generated import inference_pb2 as pb
        from atheria_contract.generated import inference_pb2_grpc as pb_grpc

        outer = self
        queue = self._get_request_queue(self.litapi_connector.lit_apis[0].api_path)

        class Service(pb_grpc.GRPCInferenceServiceServicer):
            async def ModelInfer(self, request: Any, context: Any) -> Any:
                uid, event = str(uuid.uuid4()), asyncio.Event()
                outer.response_buffer[uid] = ResponseBufferItem(event)
                queue.put((outer.app.response_queue_id, uid, time.monotonic(), request.raw_input_contents[0]))
                await event.wait()
                data, status = outer.response_buffer.pop(uid).response
                if status == LitAPIStatus.ERROR:
                    await context.abort(grpc.StatusCode.INTERNAL, "the worker failed")
                answer = pb.ModelInferResponse(model_name=model.NAME, id=request.id)
                answer.outputs.add(name=model.OUTPUT, datatype="FP32", shape=model.CALL_SHAPE)
                answer.raw_output_contents.append(data)
                return answer

        async with super().lifespan(app):
            server = grpc.aio.server()
            pb_grpc.add_GRPCInferenceServiceServicer_to_server(Service(), server)
            server.add_insecure_port(f"127.0.0.1:{self.grpc_port}")
            await server.start()
            try:
                yield
            finally:
                await server.stop(1)


if __name__ == "__main__":
    api = Api(
        max_batch_size=model.MAX_BATCH,
        batch_timeout=model.WINDOW_SECONDS,
        api_path=f"/v2/models/{model.NAME}/infer",
    )
    litserver = Server(api, accelerator="cpu")
    litserver.grpc_port = int(sys.argv[2])
    litserver.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
