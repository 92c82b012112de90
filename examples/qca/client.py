# ruff: noqa: T201 - a program for people: it prints
"""Calls the qca model with the unmodified Triton client: one state, a burst of 64, and a stream of 32 frames.

    python client.py [--url 127.0.0.1:8001] [--model qca] [--header demo/qca] [--png frames.png]

Needs `tritonclient[grpc]`, numpy and pillow; nothing of Atheria.
"""

from __future__ import annotations

import argparse
import queue
import sys
import time

import numpy as np
import tritonclient.grpc as triton
from PIL import Image

TIMEOUT_SECONDS = 120  # covers a cold start
SIDE = 64
BURST = 64
FRAMES = 32


def tensor(name: str, datatype: str, values: np.ndarray) -> triton.InferInput:
    """An input tensor that carries `values`."""
    result = triton.InferInput(name, list(values.shape), datatype)
    result.set_data_from_numpy(values)
    return result


def ripple(channels: int = 8) -> np.ndarray:
    """A state [1, 2d, H, W] of mean density 1: a flat condensate with one wave in it."""
    x = np.linspace(0, 2 * np.pi, SIDE, endpoint=False)
    psi = np.broadcast_to(1 + 0.3 * np.exp(1j * x)[None, :] * np.cos(x)[:, None], (channels, SIDE, SIDE))
    state = np.concatenate([psi.real, psi.imag])
    return (state * SIDE / np.linalg.norm(state))[None].astype(np.float32)


def one_call(client: triton.InferenceServerClient, model: str, headers: dict[str, str]) -> None:
    """One state in, the evolved state and its metrics out."""
    started = time.perf_counter()
    answer = client.infer(
        model,
        [tensor("state", "FP32", ripple())],
        parameters={"steps": 16},
        headers=headers,
        client_timeout=TIMEOUT_SECONDS,
    )
    names = ("entropy", "c4", "contrast", "coherence", "norm")
    values = "  ".join(f"{n} {v:.4f}" for n, v in zip(names, answer.as_numpy("metrics")[0], strict=True))
    print(
        f"one call: {time.perf_counter() - started:.3f} s  state {answer.as_numpy('state').shape}  {values}"
    )


def burst(client: triton.InferenceServerClient, model: str, headers: dict[str, str]) -> None:
    """64 calls at once, each with its own seed; the server computes them in batches."""
    answers: queue.Queue[tuple[object, Exception | None]] = queue.Queue()
    started = time.perf_counter()
    for seed in range(BURST):
        client.async_infer(
            model,
            [tensor("seed", "INT64", np.array([seed], np.int64))],
            callback=lambda result, error: answers.put((result, error)),
            outputs=[triton.InferRequestedOutput("metrics")],
            parameters={"height": SIDE, "width": SIDE},
            headers=headers,
            client_timeout=TIMEOUT_SECONDS,
        )
    errors = [error for _, error in (answers.get(timeout=TIMEOUT_SECONDS) for _ in range(BURST)) if error]
    print(f"burst of {BURST}: {time.perf_counter() - started:.3f} s, {len(errors)} errors")
    if errors:
        raise errors[0]


def stream(client: triton.InferenceServerClient, model: str, headers: dict[str, str]) -> list[np.ndarray]:
    """The densities [H, W] of 32 frames, two steps apart, as they arrive."""
    answers: queue.Queue[tuple[triton.InferResult, Exception | None]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers=headers)
    client.async_stream_infer(
        model,
        [tensor("seed", "INT64", np.array([7], np.int64))],
        outputs=[triton.InferRequestedOutput("density")],
        parameters={"steps": 2 * FRAMES, "every": 2, "height": SIDE, "width": SIDE},
        enable_empty_final_response=True,
    )
    frames: list[np.ndarray] = []
    while True:
        result, error = answers.get(timeout=TIMEOUT_SECONDS)
        if error:
            raise error
        parameters = result.get_response().parameters
        if (density := result.as_numpy("density")) is not None:
            frames.append(density[0])
        if "triton_final_response" in parameters and parameters["triton_final_response"].bool_param:
            break
    client.stop_stream()
    print(f"stream: {len(frames)} frames")
    return frames


def draw(frames: list[np.ndarray], path: str) -> None:
    """All frames on one sheet, eight in a row; brighter is denser, one scale for all."""
    top = max(float(frame.max()) for frame in frames)
    blank = [np.zeros_like(frames[0])] * (-len(frames) % 8)
    tiles = [np.pad(frame / top * 255, 1) for frame in [*frames, *blank]]
    sheet = np.vstack([np.hstack(tiles[i : i + 8]) for i in range(0, len(tiles), 8)])
    Image.fromarray(sheet.astype(np.uint8)).resize((sheet.shape[1] * 2, sheet.shape[0] * 2)).save(path)
    print(f"drew {path}")


def main() -> int:
    """Make the three kinds of call."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="127.0.0.1:8001")
    parser.add_argument("--model", default="qca")
    parser.add_argument(
        "--header", default="demo/qca", help="namespace/name for the gateway; empty for a bare server"
    )
    parser.add_argument("--png", default="frames.png")
    options = parser.parse_args()
    headers = {"atheria-model": options.header} if options.header else {}
    with triton.InferenceServerClient(options.url) as client:
        one_call(client, options.model, headers)
        burst(client, options.model, headers)
        draw(stream(client, options.model, headers), options.png)
    return 0


if __name__ == "__main__":
    sys.exit(main())
