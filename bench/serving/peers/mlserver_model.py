"""The model for MLServer, and its configuration. `python mlserver_model.py FOLDER GRPC_PORT HTTP_PORT METRICS_PORT WORKERS`.

Run in the environment of mlserver.txt. Writes settings.json and model-settings.json into FOLDER and becomes `mlserver start`.
WORKERS is `parallel_workers`: 0 = in the server's own process, 1 = MLServer's default.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from bench.serving import model


class Served(MLModel):
    """One product for each request that MLServer's adaptive batching has put together."""

    async def load(self) -> bool:
        """Make the matrix."""
        self._model = model.Model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """FP32 [n, 4, 64, 64] -> the same."""
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32, copy=False)
        output = NumpyCodec.encode_output(model.OUTPUT, self._model(rows))
        return InferenceResponse(model_name=self.name, outputs=[output])


def main(folder: Path, grpc_port: int, http_port: int, metrics_port: int, workers: int) -> None:
    """Configure MLServer and become it."""
    settings = {
        "host": "127.0.0.1",
        "grpc_port": grpc_port,
        "http_port": http_port,
        "metrics_port": metrics_port,
        "parallel_workers": workers,
        "debug": False,
        "use_structured_logging": False,
    }
    served = {
        "name": model.NAME,
        "implementation": "bench.serving.peers.mlserver_model.Served",
        "max_batch_size": model.MAX_BATCH,
        "max_batch_time": model.WINDOW_SECONDS,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(served))
    mlserver = str(Path(sys.executable).with_name("mlserver"))
    os.execv(mlserver, [mlserver, "start", str(folder)])  # noqa: S606


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(text) for text in sys.argv[2:6]))
