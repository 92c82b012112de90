from __future__ import annotations

import numpy as np
import pytest
import torch

from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.qca import observables
from atheria_server.models.text import sceneline_origin
from atheria_server.models.text.sceneline.density import picture_of_density
from atheria_server.models.text.sceneline_origin import SceneLineOrigin


def a_density(height: int = 16, width: int = 24) -> np.ndarray:
    return np.random.default_rng(0).exponential(1.0, (1, height, width)).astype(np.float32)


def test_a_density_has_the_greys_of_qcas_own_picture() -> None:
    density = a_density()
    rho = torch.from_numpy(density).double()
    expected = observables.picture(rho, torch.zeros_like(rho))[:, 0].numpy()
    found = picture_of_density(density)
    assert found.shape == (1, 16, 24, 3)
    assert all((found[..., channel] == expected).all() for channel in range(3))


def test_nothing_is_black_and_the_mean_is_in_the_middle() -> None:
    assert not picture_of_density(np.zeros((1, 8, 8), np.float32)).any()
    assert (picture_of_density(np.full((1, 8, 8), 3.0, np.float32)) == 128).all()


def test_the_worker_gets_the_picture() -> None:
    density = a_density()
    lead = SceneLineOrigin("small").check({"density": density})
    assert set(lead.inputs) == {"image"}
    assert (lead.inputs["image"] == picture_of_density(density)).all()
    assert lead.length == 6


@pytest.mark.parametrize(
    ("density", "words"),
    [
        (np.zeros((1, 8, 8), np.float64), "dtype float64; expected FP32"),
        (np.zeros((8, 8), np.float32), r"shape \[8, 8\]; expected \[1, height, width\]"),
        (np.zeros((2, 8, 8), np.float32), "each field as a call of its own"),
        (np.zeros((1, 0, 8), np.float32), "expected"),
        (np.full((1, 8, 8), -1, np.float32), "negative"),
        (np.full((1, 8, 8), np.nan, np.float32), "no numbers"),
        (np.zeros((1, 9, 8), np.float32), "height of input density is 9; expected a multiple of 8"),
    ],
)
def test_a_density_that_cannot_be_is_refused(density: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        SceneLineOrigin("small").check({"density": density})


def test_a_density_of_a_wrong_size_is_refused_before_a_picture_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(given: np.ndarray) -> np.ndarray:
        raise AssertionError(f"a picture of {given.shape} was made")

    monkeypatch.setattr(sceneline_origin, "picture_of_density", made)
    with pytest.raises(InvalidRequestError, match="height of input density is 4000"):
        SceneLineOrigin("small").check({"density": np.zeros((1, 4000, 4000), np.float32)})
    with pytest.raises(InvalidRequestError, match=r"input density of .* patches; at most"):
        SceneLineOrigin("small").check({"density": np.zeros((1, 256, 256), np.float32)})


def test_one_of_picture_and_density_is_needed() -> None:
    for inputs in ({}, {"density": a_density(), "image": np.zeros((1, 8, 8, 3), np.uint8)}):
        with pytest.raises(InvalidRequestError, match="expected exactly one of image or density"):
            SceneLineOrigin("small").check(inputs)
