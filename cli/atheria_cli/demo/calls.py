"""The calls of the demo, made with the unmodified tritonclient: any client of the Open Inference Protocol would do."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as triton

from atheria_cli.demo.cluster import ClusterError
from atheria_contract import names

FloatArray = npt.NDArray[np.float32]
OUTPUTS = ("state", "density", "phase", "metrics")
METRICS = ("entropy", "C4", "contrast", "coherence", "norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolved:
    """One answer: arrays by output name, and how long the caller waited."""

    outputs: Mapping[str, FloatArray]
    seconds: float


class ModelClient:
    """A gRPC channel to the gateway that names one model by header."""

    def __init__(self, target: str, model: str, namespace: str) -> None:
        self._client = triton.InferenceServerClient(target)
        self._model = model
        self._headers = {names.HEADER_MODEL: names.model_key(namespace, model)}

    def close(self) -> None:
        self._client.close()

    def evolve_seed(self, seed: int, size: int, steps: int, timeout_seconds: float = 120) -> Evolved:
        """A state made from `seed` on a `size`×`size` torus, evolved by `steps`."""
        tensor = triton.InferInput("seed", [1], "INT64")
        tensor.set_data_from_numpy(np.array([seed], np.int64))
        return self._infer([tensor], {"height": size, "width": size, "steps": steps}, timeout_seconds)

    def evolve_state(self, state: FloatArray, steps: int, timeout_seconds: float = 120) -> Evolved:
        """`state` [B, 2d, H, W], evolved by `steps`."""
        return self._infer([_state_input(state)], {"steps": steps}, timeout_seconds)

    def _infer(
        self, inputs: list[triton.InferInput], parameters: dict[str, int], timeout_seconds: float
    ) -> Evolved:
        began = time.monotonic()
        outputs = [triton.InferRequestedOutput(name) for name in OUTPUTS]
        answer = self._client.infer(
            self._model,
            inputs,
            outputs=outputs,
            parameters=parameters,
            headers=self._headers,
            client_timeout=timeout_seconds,
        )
        arrays = {name: answer.as_numpy(name) for name in OUTPUTS}
        return Evolved(outputs=arrays, seconds=time.monotonic() - began)

    def burst(self, state: FloatArray, calls: int, steps: int, timeout_seconds: float = 120) -> list[Evolved]:
        """`calls` calls sent at once; returns all answers or raises ClusterError with the first error."""
        answers: queue.Queue[tuple[object, object, float]] = queue.Queue()
        began = time.monotonic()
        tensor = _state_input(state)
        for _ in range(calls):
            self._client.async_infer(
                self._model,
                [tensor],
                lambda result, error: answers.put((result, error, time.monotonic() - began)),
                outputs=[triton.InferRequestedOutput("metrics")],
                parameters={"steps": steps},
                headers=self._headers,
                client_timeout=timeout_seconds,
            )
        done: list[Evolved] = []
        for _ in range(calls):
            result, error, seconds = answers.get(timeout=timeout_seconds + 5)
            if error is not None:
                raise ClusterError(f"a call of the burst failed: {error}")
            done.append(Evolved(outputs={"metrics": result.as_numpy("metrics")}, seconds=seconds))  # type: ignore[attr-defined]
        return done

    def stream(
        self, seed: int, size: int, steps: int, every: int, timeout_seconds: float = 60
    ) -> Iterator[tuple[int, FloatArray]]:
        """Frames (step, density [H, W]) as they are computed, over ModelStreamInfer."""
        frames: queue.Queue[tuple[object, object]] = queue.Queue()
        tensor = triton.InferInput("seed", [1], "INT64")
        tensor.set_data_from_numpy(np.array([seed], np.int64))
        self._client.start_stream(lambda result, error: frames.put((result, error)), headers=self._headers)
        try:
            self._client.async_stream_infer(
                self._model,
                [tensor],
                outputs=[triton.InferRequestedOutput("density")],
                parameters={"height": size, "width": size, "steps": steps, "every": every},
            )
            while True:
                result, error = frames.get(timeout=timeout_seconds)
                if error is not None:
                    raise ClusterError(f"the stream failed: {error}")
                response = result.get_response()  # type: ignore[attr-defined]
                if response.parameters["triton_final_response"].bool_param:
                    return
                yield response.parameters["step"].int64_param, result.as_numpy("density")[0]  # type: ignore[attr-defined]
        finally:
            self._client.stop_stream()


def _state_input(state: FloatArray) -> triton.InferInput:
    tensor = triton.InferInput("state", list(state.shape), "FP32")
    tensor.set_data_from_numpy(state)
    return tensor
