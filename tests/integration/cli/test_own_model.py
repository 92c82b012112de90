"""A person copies examples/own-litapi, serves it and calls it, with nothing else written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.integration.server.harness import Server
from tests.pages.figures import print_figure

pytestmark = pytest.mark.integration
EXAMPLE = Path(__file__).parents[3] / "examples" / "own-litapi"


def test_the_copied_example_answers_a_picture_with_a_smoother_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    mine = tmp_path / "mine"
    shutil.copytree(EXAMPLE, mine)
    dots = np.zeros((32, 48), np.uint8)
    dots[::4, ::4] = 255
    Image.fromarray(dots).save(mine / "photo.png")
    monkeypatch.chdir(mine)
    with Server("python://serving:SmoothLitAPI", name="smooth") as server:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "atheria_cli", "infer", "smooth", "--address", server.grpc),
                *("-i", "image=@photo.png", "--save", "smooth.npz"),
            ],
            cwd=mine, env={**os.environ, "KUBECONFIG": "/nonexistent"}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print_figure(
        capsys,
        f"own model: {time.monotonic() - began:.1f} s from the copy to the answer, its end included (measured)",
    )
    with np.load(mine / "smooth.npz") as held:
        smooth = held["smooth"]
    assert smooth.shape == (32, 48)
    assert smooth.std() < (dots / 255).std() / 4
    assert smooth.mean() == pytest.approx((dots / 255).mean(), rel=0.2)
