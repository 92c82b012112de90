"""What the shipped network can do on scenes that it has not seen, and what is left of it in fewer bits."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from atheria_contract.optimization import CalibrationConfig, PrecisionConfig
from atheria_server.core.precision import plan_precision
from atheria_server.models.text.sceneline.held_out import (
    CALIBRATION_SEED,
    JUDGED_SEED,
    Answers,
    answers,
    patch_iou,
    quality_of,
)
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.precision import CRITICAL_LAYERS, MODULE_GROUPS
from atheria_server.models.text.sceneline.scenes import Scenes, make_scenes
from atheria_server.models.text.sceneline.weights import draw_network
from atheria_server.optimize.precision import apply_precision, layers_of, probe


@pytest.fixture(scope="module")
def baseline(network: SceneLine, scenes: Scenes) -> Answers:
    return answers(network, scenes)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96), (96, 64)])
def test_words_are_foretold_and_found_in_the_picture(network: SceneLine, height: int, width: int) -> None:
    scenes = make_scenes(JUDGED_SEED, 64, height, width)
    quality = quality_of(answers(network, scenes), scenes, float(network.grounding_threshold))
    assert quality.accuracy >= 0.93
    assert quality.patch_iou >= 0.88
    assert quality.box_iou >= 0.88


def test_the_threshold_that_ships_is_the_one_that_calibration_finds(network: SceneLine) -> None:
    scenes = make_scenes(CALIBRATION_SEED, 64)
    similarity = answers(network, scenes).similarity
    best = max(patch_iou(similarity, scenes, threshold) for threshold in np.arange(-50, 100, 10) / 100)
    assert patch_iou(similarity, scenes, float(network.grounding_threshold)) >= best - 0.01


def test_a_network_that_was_not_trained_points_nowhere() -> None:
    scenes = make_scenes(JUDGED_SEED, 32)
    network = draw_network("small", 0).eval().requires_grad_(requires_grad=False)
    assert quality_of(answers(network, scenes), scenes, 0.5).patch_iou < 0.2


@pytest.mark.parametrize(
    ("policy", "method", "agreement"),
    [
        ("bf16", "none", 0.995),
        ("int8", "none", 0.99),
        ("int8", "smoothquant", 0.99),
        ("nf4", "none", 0.98),
        ("hierarchy", "none", 0.98),
    ],
)
def test_fewer_bits_cost_at_most_two_percent(
    network: SceneLine, scenes: Scenes, baseline: Answers, policy: str, method: str, agreement: float
) -> None:
    variant = copy.deepcopy(network)
    modules = {"network": variant}
    plan = plan_precision(
        PrecisionConfig(policy=policy, calibration=CalibrationConfig(method=method)),
        layers_of(modules),
        MODULE_GROUPS,
        probe("cpu"),
        CRITICAL_LAYERS,
    )
    calibration = make_scenes(CALIBRATION_SEED, 16)
    report = apply_precision(modules, plan, device="cpu", observe=lambda: answers(variant, calibration))
    found, threshold = answers(variant, scenes), float(network.grounding_threshold)
    before, after = (quality_of(one, scenes, threshold) for one in (baseline, found))
    assert abs(after.accuracy - before.accuracy) <= 0.02 * before.accuracy
    assert abs(after.patch_iou - before.patch_iou) <= 0.02 * before.patch_iou
    assert abs(after.box_iou - before.box_iou) <= 0.02 * before.box_iou
    same = found.logits.argmax(-1) == baseline.logits.argmax(-1)
    assert float(same[torch.from_numpy(scenes.tokens[:, 1:] > 0)].float().mean()) >= agreement
    assert report.weight_bytes_after < 0.6 * report.weight_bytes_before
    if policy != "hierarchy":
        kept = {layer.name for layer in report.layers if layer.reason == "critical to this model"}
        assert kept == {"network.patches", "network.out", "network.ground_patch", "network.ground_word"}
