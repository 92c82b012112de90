"""`python -m bench.sceneline`: prints the tables of docs/sceneline.md, measured on held-out scenes against the truth.

Nothing is timed, so it may run on a busy machine; it takes about a minute of one processor.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from atheria_contract.optimization import CalibrationConfig, PrecisionConfig
from atheria_server.core.cache_precision import CachePrecision, CacheSettings
from atheria_server.core.precision import plan_precision
from atheria_server.models.text.cache.drift import (
    GoldenSequence,
    drift_between,
    measure_drift,
    read_golden,
)
from atheria_server.models.text.sceneline.held_out import (
    CALIBRATION_SEED,
    JUDGED_SEED,
    SCENES,
    Answers,
    Quality,
    answers,
    judge,
    quality_of,
)
from atheria_server.models.text.sceneline.network import SceneLine
from atheria_server.models.text.sceneline.precision import CRITICAL_LAYERS, MODULE_GROUPS
from atheria_server.models.text.sceneline.scenes import Scenes, make_scenes
from atheria_server.models.text.sceneline.vocabulary import PAD
from atheria_server.models.text.sceneline.weights import load_network
from atheria_server.optimize.precision import apply_precision, layers_of, probe

SIZES = ((64, 64), (64, 96), (96, 64), (80, 80))
POLICIES = (
    ("bf16", "none"),
    ("fp16", "none"),
    ("int8", "none"),
    ("int8", "dynamic"),
    ("int8", "assumed"),
    ("int8", "minmax"),
    ("int8", "percentile"),
    ("int8", "smoothquant"),
    ("nf4", "none"),
    ("hierarchy", "none"),
)
"""Weights and activations, by the names of `spec.precision`."""
CALIBRATED_ON = 16
COMPRESSED = (CachePrecision.INT8, CachePrecision.INT4, CachePrecision.INT2)
CHUNK = 32
"""Tokens of a prompt's chunk and of the recent window, for pictures of CHUNKED_SIZE."""
CHUNKED_SIZE = (96, 96)
CHUNKED_SCENES = 128
WINDOW = 8
"""Tokens of a cache that stay exact: so few that nearly all of a caption is read from what is compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One variant."""

    quality: Quality
    same_words: float
    divergence: float
    """Kullback-Leibler, in nats."""
    weight_bytes: int


def main() -> int:
    """Print all tables."""
    torch.set_num_threads(1)
    network = load_network()
    sys.stdout.write(
        "\n".join([*_sizes(network), "", *_weights(network), "", *_caches(network), "", *_chunks(network)])
        + "\n"
    )
    return 0


def _sizes(network: SceneLine) -> Iterator[str]:
    yield from _head("Height × width", "Words right", "Patches, IoU", "Boxes, IoU")
    for height, width in SIZES:
        found = judge(network, height, width)
        yield _line(f"{height} × {width}", *_figures(found))


def _weights(network: SceneLine) -> Iterator[str]:
    scenes = make_scenes(JUDGED_SEED, SCENES)
    baseline = answers(network, scenes)
    yield from _head(
        "Weights",
        "Activations",
        "Words right",
        "Patches, IoU",
        "Boxes, IoU",
        "Same words",
        "KL",
        "Weight bytes",
    )
    exact = quality_of(baseline, scenes, float(network.grounding_threshold))
    whole = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    yield _line("fp32", "fp32", *_figures(exact), "", "", f"{whole:,}")
    for policy, method in POLICIES:
        one = measured(network, scenes, baseline, policy, method)
        shown = (f"{one.same_words:.4f}", f"{one.divergence:.1e}", f"{one.weight_bytes:,}")
        yield _line(
            policy, "as they are" if method == "none" else f"int8, {method}", *_figures(one.quality), *shown
        )


def measured(network: SceneLine, scenes: Scenes, baseline: Answers, policy: str, method: str) -> Measured:
    """A copy of the network under one policy and one calibration."""
    variant = copy.deepcopy(network)
    modules = {"network": variant}
    plan = plan_precision(
        PrecisionConfig(policy=policy, calibration=CalibrationConfig(method=method)),
        layers_of(modules),
        MODULE_GROUPS,
        probe("cpu"),
        CRITICAL_LAYERS,
    )
    calibration = make_scenes(CALIBRATION_SEED, CALIBRATED_ON)
    report = apply_precision(modules, plan, device="cpu", observe=lambda: answers(variant, calibration))
    found = answers(variant, scenes)
    counted = torch.from_numpy(scenes.tokens[:, 1:] != PAD)
    likelihoods, given = baseline.logits.log_softmax(-1), found.logits.log_softmax(-1)
    divergence = (likelihoods.exp() * (likelihoods - given)).sum(-1)
    return Measured(
        quality=quality_of(found, scenes, float(network.grounding_threshold)),
        same_words=float((found.logits.argmax(-1) == baseline.logits.argmax(-1))[counted].float().mean()),
        divergence=float(divergence[counted].mean()),
        weight_bytes=report.weight_bytes_after,
    )


def _caches(network: SceneLine) -> Iterator[str]:
    golden = _golden(network, make_scenes(JUDGED_SEED, SCENES))
    yield from _head("Cache", "Same words", "KL")
    for precision in COMPRESSED:
        settings = CacheSettings(precision=precision, recent_window=WINDOW, group_tokens=WINDOW)
        drift = measure_drift(network, golden, settings)
        yield _line(precision.value, f"{drift.agreement:.4f}", f"{drift.divergence:.1e}")


def _chunks(network: SceneLine) -> Iterator[str]:
    """The table of docs/optimization/kv-cache.md."""
    golden = _golden(network, make_scenes(JUDGED_SEED, CHUNKED_SCENES, *CHUNKED_SIZE))
    exact = read_golden(network, golden, CacheSettings(), "cpu")
    yield from _head("Cache", "One chunk", "KL", "Chunks", "KL", "Chunks against one", "KL")
    for precision in COMPRESSED:
        settings = CacheSettings(precision=precision, recent_window=CHUNK, group_tokens=CHUNK)
        one = read_golden(network, golden, settings, "cpu")
        chunks = read_golden(network, golden, settings, "cpu", CHUNK)
        drifts = [drift_between(*pair) for pair in ((exact, one), (exact, chunks), (one, chunks))]
        shown = [(f"{drift.agreement:.4f}", f"{drift.divergence:.1e}") for drift in drifts]
        yield _line(precision.value, *(cell for pair in shown for cell in pair))


def _golden(network: SceneLine, scenes: Scenes) -> list[GoldenSequence]:
    """Captions behind their pictures."""
    with torch.inference_mode():
        leads = network.embed_picture(torch.from_numpy(scenes.pictures))
    return [
        GoldenSequence(
            tokens=[*[PAD] * len(lead), *(token for token in row if token != PAD)],
            prompt=len(lead) + 1,
            lead=lead,
        )
        for lead, row in zip(leads, scenes.tokens.tolist(), strict=True)
    ]


def _figures(quality: Quality) -> Sequence[str]:
    return [f"{value:.4f}" for value in (quality.accuracy, quality.patch_iou, quality.box_iou)]


def _head(*names: str) -> Iterator[str]:
    yield _line(*names)
    yield _line(*["---"] * len(names))


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
