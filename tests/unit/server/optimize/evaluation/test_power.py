"""Energy and names of devices, with a driver that the tests make up."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from atheria_server.optimize.evaluation.power import PowerError, energy_meter
from atheria_server.optimize.evaluation.tables import read_devices
from atheria_server.optimize.evaluation.this_device import closest, this_device


class NVMLError(Exception):
    """The driver's."""


def driver(energy: list[int] | None) -> SimpleNamespace:
    """`energy` millijoules, one for each question; None = the device does not tell."""

    def total(handle: int) -> int:
        assert handle == 107
        if energy is None:
            raise NVMLError("Not Supported")
        return energy.pop(0)

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: 100 + index,
        nvmlDeviceGetTotalEnergyConsumption=total,
    )


def test_energy_is_that_of_the_device_in_joules(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", driver([0, 1000, 3500]))
    joules = energy_meter("cuda:7")
    assert [joules(), joules()] == [1.0, 3.5]


@pytest.mark.parametrize(
    ("device", "module", "words"),
    [
        ("cpu", None, "no GPU; processors do not give their power"),
        ("cuda:0", None, "nvidia-ml-py is not installed; pip install nvidia-ml-py"),
        ("cuda:7", driver(None), "NVML gives no energy of cuda:7: Not Supported"),
    ],
)
def test_why_there_is_no_energy_is_said(device, module, words, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", module)
    with pytest.raises(PowerError, match=words):
        energy_meter(device)


@pytest.mark.parametrize(
    ("name", "memory", "entry"),
    [
        ("NVIDIA L4", 23.6, "L4"),
        ("NVIDIA L40S", 47.6, "L40S"),
        ("NVIDIA A100-SXM4-40GB", 42.3, "A100-40"),
        ("NVIDIA A100-SXM4-80GB", 85.1, "A100-80"),
        ("NVIDIA A100 80GB PCIe", 85.1, "A100-80"),
        ("NVIDIA H100 80GB HBM3", 85.0, "H100"),
        ("NVIDIA H200", 150.0, "H200"),
        ("NVIDIA GeForce RTX 4090", 25.4, "NVIDIA GeForce RTX 4090"),
    ],
)
def test_a_gpu_is_found_in_the_table_by_model_and_memory(name, memory, entry):
    assert closest(name, memory, read_devices()) == entry


def test_without_a_gpu_it_is_the_cpu():
    assert this_device("cpu", read_devices()) == "cpu"
