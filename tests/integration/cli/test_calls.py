"""`atheria infer`, `stream` and `bench` against a real server, as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from atheria_cli.errors import ExitCode

pytestmark = pytest.mark.integration
SIZES = ("-p", "height=16", "-p", "width=16", "-p", "steps=4")


def atheria(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "atheria_cli", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", "KUBECONFIG": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_one_call_is_shown_as_a_table_and_saved_as_arrays_and_as_a_picture(
    qca_address: str, tmp_path: Path
) -> None:
    call = ("infer", "qca", "--address", qca_address, "-n", "demo", "-i", "seed=7", *SIZES)
    done = atheria(tmp_path, *call, "--save", "a.npz")
    assert done.returncode == 0, done.stderr
    assert "density" in done.stdout
    assert "(measured); saved as a.npz" in done.stdout
    with np.load(tmp_path / "a.npz", allow_pickle=False) as held:
        assert held["density"].shape[-2:] == (16, 16)
        np.save(tmp_path / "state.npy", held["state"])
    again = atheria(
        tmp_path, "infer", "qca", "--address", qca_address, "-i", "state=@state.npy", "-p", "steps=4",
        "-w", "density", "--save", "a.png", "-o", "json",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    answer = json.loads(again.stdout)
    assert list(answer["outputs"]) == ["density"]
    assert answer["seconds"] > 0
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (16, 16)


def test_a_stream_prints_a_line_an_answer_and_saves_a_film(qca_address: str, tmp_path: Path) -> None:
    call = (
        "stream",
        "qca",
        "--address",
        qca_address,
        "-i",
        "seed=7",
        *SIZES,
        "-p",
        "every=1",
        "-w",
        "density",
    )
    done = atheria(tmp_path, *call, "--save", "a.mp4", "--fps", "24")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [f"answer {n} step={n}" for n in range(1, 5)]
    assert lines[-1].startswith("4 answers in ")
    with av.open(tmp_path / "a.mp4") as film:
        (video,) = film.streams.video
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video)]
        assert video.average_rate == 24
    assert [frame.shape for frame in frames] == [(256, 256, 3)] * 4
    assert not np.array_equal(frames[0], frames[-1])


def test_what_the_server_refuses_is_told_in_its_words(qca_address: str, tmp_path: Path) -> None:
    done = atheria(tmp_path, "infer", "qca", "--address", qca_address, "-i", "seed=7", "-p", "steps=0")
    assert done.returncode == ExitCode.USAGE
    assert "INVALID_ARGUMENT" in done.stderr
    assert "steps" in done.stderr
    other = atheria(tmp_path, "infer", "ghost", "--address", qca_address)
    assert other.returncode == ExitCode.NOT_FOUND
    assert "Traceback" not in done.stderr + other.stderr


def test_loads_are_measured_with_percentiles_and_a_plot(qca_address: str, tmp_path: Path) -> None:
    done = atheria(
        tmp_path, "bench", "qca", "--address", qca_address, "-i", "seed=7", *SIZES, "--callers", "2", "--rate", "50",
        "--seconds", "0.5", "--warm-up", "0", "-o", "json", "--plot", "a.svg",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    closed, opened = json.loads(done.stdout)
    assert (closed["load"]["concurrency"], opened["load"]["rate"]) == (2, 50.0)
    for found in (closed, opened):
        assert found["calls"] > 0
        assert found["failed"] == 0
        assert found["percentiles"]["p50"] <= found["max_seconds"]
    assert "<svg" in (tmp_path / "a.svg").read_text()
