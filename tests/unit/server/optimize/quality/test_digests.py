"""The digest of a variant changes with everything that may change its outputs, and with nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from atheria_contract.optimization import CalibrationConfig, PrecisionConfig, QualityConfig
from atheria_server.models.contract import WarmupCall
from atheria_server.models.echo import EchoApi
from atheria_server.optimize.quality import code_digest, golden_digest, variant_digest, weights_digest

BASE: dict[str, Any] = {
    "weights": "sha256:" + "a" * 64,
    "code": "sha256:" + "b" * 64,
    "torch_version": "2.15.0",
    "device": "cpu",
    "compile_mode": "off",
    "precision": PrecisionConfig(),
    "quality": QualityConfig(),
    "shapes": [(16, 32, 32)],
    "parameters": {"law": "nca"},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights", "sha256:" + "c" * 64),
        ("code", "sha256:" + "c" * 64),
        ("torch_version", "2.15.1"),
        ("device", "NVIDIA L4"),
        ("compile_mode", "default"),
        ("precision", PrecisionConfig(policy="hierarchy")),
        ("precision", PrecisionConfig(keep_fp32=("law.out",))),
        ("precision", PrecisionConfig(calibration=CalibrationConfig(method="minmax"))),
        ("quality", QualityConfig(profile="strict")),
        ("quality", QualityConfig(limits={"C4": 0.1})),
        ("quality", QualityConfig(ensemble=32)),
        ("shapes", [(16, 64, 64)]),
        ("parameters", {"law": "unet"}),
    ],
)
def test_each_part_of_a_variant_counts(name: str, value: Any) -> None:
    assert variant_digest(**BASE | {name: value}) != variant_digest(**BASE)


def test_equal_variants_have_one_digest_whatever_may_be_served() -> None:
    again = BASE | {"quality": QualityConfig(allow_unvalidated=True), "shapes": [[16, 32, 32]]}
    digest = variant_digest(**BASE)
    assert variant_digest(**again) == digest
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)


def test_weights_count_by_name_type_shape_and_value() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    digest = weights_digest({"net": module})
    assert weights_digest({"net": module}) == digest
    assert weights_digest({"other": module}) != digest
    with torch.no_grad():
        module[0].weight[0, 0] += 1
    changed = weights_digest({"net": module})
    assert changed != digest
    module[1].running_mean += 1
    assert weights_digest({"net": module}) != changed
    assert weights_digest({"net": module.bfloat16()}) not in (digest, changed)


def test_code_counts_with_the_package_of_the_litapi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builtin = code_digest(EchoApi({}))
    assert code_digest(EchoApi({})) == builtin
    package = tmp_path / "a_users_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model.py").write_text("class Api: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    from importlib import import_module

    api = import_module("a_users_package.model").Api()
    first = code_digest(api)
    assert first != builtin
    (package / "layers.py").write_text("SCALE = 2\n")
    assert code_digest(api) != first


def test_golden_outputs_depend_on_the_inputs_of_the_calls() -> None:
    call = WarmupCall(inputs={"seed": np.arange(4)}, parameters={"steps": 1})
    parts = {"weights": "w", "code": "c"}
    digest = golden_digest(**parts, calls=[call])
    assert golden_digest(**parts, calls=[replace(call)]) == digest
    assert golden_digest(**parts, calls=[call, call]) != digest
    assert golden_digest(**parts, calls=[replace(call, parameters={"steps": 2})]) != digest
    assert golden_digest(**parts, calls=[replace(call, inputs={"seed": np.arange(1, 5)})]) != digest
