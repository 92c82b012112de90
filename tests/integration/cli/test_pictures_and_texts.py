"""`atheria infer` and `stream` with a model that reads pictures and writes words, as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atheria_server.models.text.sceneline.scenes import make_scenes
from tests.integration.server.harness import Server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with Server("builtin://sceneline", "--set", "places=2", name="sceneline") as server:
        yield str(server.grpc)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A picture of 96 x 64 in a file."""
    picture = make_scenes(seed=1, count=1, height=64, width=96).pictures[0]
    Image.fromarray(picture).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


def atheria(scene: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "atheria_cli", *arguments, "-i", f"@{scene.name}"],
        cwd=scene.parent, env={**os.environ, "KUBECONFIG": "/nonexistent"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_picture_goes_in_and_comes_out_with_its_boxes_drawn(address: str, scene: Path) -> None:
    call = ("infer", "sceneline", "--address", address, "-p", "draw=true")
    said = atheria(scene, *call, "--save", "boxes.png")
    assert " disc " in said.splitlines()[0], "the words, whole and first"
    with Image.open(scene.parent / "boxes.png") as drawn, Image.open(scene) as sent:
        assert drawn.size == (4 * 96, 4 * 64)
        enlarged = np.asarray(sent.convert("RGB").resize(drawn.size, Image.Resampling.NEAREST), int)
        different = np.abs(np.asarray(drawn.convert("RGB"), int) - enlarged).max(axis=-1) > 8
    assert 0.005 < different.mean() < 0.5, "a drawing on the picture, not another picture"


def test_words_are_streamed_as_they_are_written_for_people_and_for_programs(
    address: str, scene: Path
) -> None:
    call = ("stream", "sceneline", "--address", address)
    text, summary = atheria(scene, *call).splitlines()
    assert text.count(" ") > 3
    assert "answers in" in summary
    lines = [
        json.loads(line) for line in atheria(scene, *call, "-w", "text_output", "-o", "json").splitlines()
    ]
    assert "".join(line["outputs"]["text_output"][0] for line in lines) == text
    assert len(lines) > 3
    assert lines[-1]["parameters"]["finish_reason"] == "stop"
