"""The built-in model in every precision: norms, rows that do not know their batch, and the gate's figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from atheria_contract.optimization import CalibrationConfig, PrecisionConfig
from atheria_server.core.precision import Capability, plan_precision
from atheria_server.models.contract import WarmupCall
from atheria_server.models.qca.api import QcaApi
from atheria_server.optimize.loaded import LoadedModel
from atheria_server.optimize.precision import (
    PrecisionReport,
    apply_precision,
    groups_of,
    layers_of,
    modules_of,
    probe,
)

POLICIES = {
    "bf16": PrecisionConfig(policy="bf16"),
    "fp16": PrecisionConfig(policy="fp16"),
    "int8": PrecisionConfig(policy="int8"),
    "nf4": PrecisionConfig(policy="nf4"),
    "nf4 in bf16": PrecisionConfig(policy="nf4", compute="bf16"),
    "hierarchy": PrecisionConfig(policy="hierarchy"),
    "int8, dynamic activations": PrecisionConfig(
        policy="int8", calibration=CalibrationConfig(method="dynamic")
    ),
    "int8, static activations": PrecisionConfig(
        policy="int8", calibration=CalibrationConfig(method="smoothquant")
    ),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def call(seeds: list[int], steps: int, side: int = 16) -> WarmupCall:
    return WarmupCall(
        inputs={"seed": np.array(seeds, np.int64)},
        parameters={"height": side, "width": side, "steps": steps},
    )


def served(
    config: PrecisionConfig, capability: Capability | None = None, **parameters: str | int
) -> tuple[LoadedModel, PrecisionReport]:
    api = QcaApi(parameters)
    api.setup("cpu")
    model = LoadedModel(api=api, device="cpu")
    modules = modules_of(api)
    plan = plan_precision(config, layers_of(modules), groups_of(api, modules), capability or probe("cpu"))
    report = apply_precision(modules, plan, device="cpu", observe=lambda: model.run([call([0, 1, 2, 3], 8)]))
    return model, report


@pytest.mark.parametrize("config", POLICIES.values(), ids=POLICIES)
def test_a_batch_of_four_equals_four_singles_bit_for_bit(config: PrecisionConfig) -> None:
    model, _ = served(config)

    together = model.compute(call([0, 1, 2, 3], 32))["state"]
    alone = [model.compute(call([seed], 32))["state"] for seed in range(4)]

    assert np.array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("policy", ["bf16", "fp16"])
def test_rows_do_not_know_their_batch_where_the_cpu_multiplies_sixteen_bits_itself(policy: str) -> None:
    able = replace(probe("cpu"), cpu_flags=frozenset({"avx512_bf16", "avx512_fp16"}))
    model, _ = served(PrecisionConfig(policy=policy), able)

    together = model.compute(call([0, 1, 2, 3], 2))["state"]
    alone = [model.compute(call([seed], 2))["state"] for seed in range(4)]

    assert np.array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("config", POLICIES.values(), ids=POLICIES)
def test_the_norm_is_kept_and_the_state_stays_float32(config: PrecisionConfig) -> None:
    model, _ = served(config)

    state = model.compute(call([0], 32))["state"]

    assert state.dtype == np.float32
    assert abs(float((state.astype(np.float64) ** 2).sum() / (16 * 16)) - 1) < 1e-5


@pytest.mark.parametrize("policy", ["int8", "bf16"])
def test_the_convolutional_law_keeps_norm_and_rows_too(policy: str) -> None:
    model, report = served(PrecisionConfig(policy=policy), law="unet", hidden=8)

    together = model.compute(call([0, 1], 2))["state"]
    alone = [model.compute(call([seed], 2))["state"] for seed in range(2)]

    assert {one.precision for one in report.layers} == {policy}
    assert np.array_equal(together, np.concatenate(alone))
    assert abs(float((together.astype(np.float64) ** 2).sum() / (2 * 16 * 16)) - 1) < 1e-5


def test_the_hierarchy_of_the_law_is_int8_nf4_bf16() -> None:
    _, report = served(PrecisionConfig(policy="hierarchy"))

    assert [(one.name, one.group, one.precision) for one in report.layers] == [
        ("law.hidden.0", "encoder", "int8"),
        ("law.hidden.1", "backbone", "nf4"),
        ("law.out", "head", "bf16"),
    ]
    assert report.weight_bytes_after < 0.26 * report.weight_bytes_before


@pytest.fixture(scope="module")
def fidelities() -> dict[str, tuple[float, float]]:
    """Policy -> mean F_8 and F_16 over 8 seeds at 32 x 32, against fp32."""
    calls = [call(list(range(8)), steps, 32) for steps in (8, 16)]
    threads = torch.get_num_threads()
    baseline = [one["state"] for one in served(PrecisionConfig())[0].run(calls)]
    found = {}
    for name, config in POLICIES.items():
        states = [one["state"] for one in served(config)[0].run(calls)]
        f8, f16 = (_fidelity(b, v) for b, v in zip(baseline, states, strict=True))
        found[name] = (f8, f16)
    torch.set_num_threads(threads)
    return found


def _fidelity(baseline: np.ndarray, variant: np.ndarray) -> float:
    def psi(state: np.ndarray) -> np.ndarray:
        half = state.shape[1] // 2
        whole: np.ndarray = (state[:, :half] + 1j * state[:, half:].astype(np.complex128)).reshape(
            len(state), -1
        )
        return whole

    b, v = psi(baseline), psi(variant)
    overlap = np.abs((b.conj() * v).sum(1)) ** 2
    return float((overlap / ((np.abs(b) ** 2).sum(1) * (np.abs(v) ** 2).sum(1))).mean())


@pytest.mark.parametrize(
    ("name", "f8", "f16"),
    [
        ("bf16", 0.9995, 0.999),
        ("fp16", 0.9999, 0.999),
        ("int8", 0.9995, 0.999),
        ("int8, dynamic activations", 0.9995, 0.998),
        ("hierarchy", 0.999, 0.99),
        ("nf4", 0.95, 0.85),
    ],
)
def test_fidelity_is_at_least_that_of_the_precision(
    fidelities: dict[str, tuple[float, float]], name: str, f8: float, f16: float
) -> None:
    assert fidelities[name][0] >= f8
    assert fidelities[name][1] >= f16


def test_four_bits_everywhere_are_worse_than_the_hierarchy(
    fidelities: dict[str, tuple[float, float]],
) -> None:
    assert fidelities["nf4"][1] < 0.99 < fidelities["hierarchy"][1]
