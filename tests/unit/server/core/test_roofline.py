"""The roofline against the published table: microseconds of a step of one row, by preset and device."""

from __future__ import annotations

import pytest

from atheria_server.core.roofline import PRESETS, Device, Work, as_graph, fits, step_time
from atheria_server.models.qca import settings
from atheria_server.optimize.evaluation.tables import read_devices

DEVICES = read_devices()
PUBLISHED = {
    # preset: (FLOP per byte, {device: (compute, memory) in microseconds})
    "tiny": (19, {"L4": (0.7, 15), "A100-80": (0.3, 2.2), "H200": (0.1, 0.9)}),
    "tiny-256": (19, {"L4": (11, 241), "A100-80": (4, 36), "H200": (1.4, 15)}),
    "base": (241, {"L4": (416, 708), "A100-80": (161, 104), "H200": (51, 44)}),
    "large": (1005, {"L4": (6550, 2810), "A100-80": (2540, 414), "H200": (802, 176)}),
    "xl": (1529, {"L4": (55_300, 14_900), "A100-80": (21_400, 2190), "H200": (6760, 932)}),
}


@pytest.mark.parametrize("preset", PUBLISHED)
def test_the_published_table_comes_out(preset):
    intensity, rows = PUBLISHED[preset]
    assert PRESETS[preset].intensity == pytest.approx(intensity, rel=0.025)
    for device, (compute, memory) in rows.items():
        found = step_time(PRESETS[preset], DEVICES[device])
        # The table is rounded to whole microseconds, or to tenths below two.
        assert 1e6 * found.compute == pytest.approx(compute, rel=0.01, abs=0.05 if compute < 2 else 0.5)
        assert 1e6 * found.memory == pytest.approx(memory, rel=0.025, abs=0.5)


@pytest.mark.parametrize(
    ("preset", "device", "bound"),
    [
        ("tiny", "L4", "launches"),
        ("tiny", "H200", "launches"),
        ("tiny-256", "L4", "memory"),
        ("tiny-256", "A100-80", "launches"),
        ("base", "L4", "memory"),
        ("large", "H200", "compute"),
        ("xl", "L4", "compute"),
    ],
)
def test_what_bounds_a_step_is_named(preset, device, bound):
    assert step_time(PRESETS[preset], DEVICES[device]).bound == bound


@pytest.mark.parametrize(
    ("preset", "million", "gigaflop"),
    [
        ("tiny", 0.0096, 0.084),
        ("small", 0.44, 0.81),
        ("base", 1.75, 50.3),
        ("large", 28, 793),
        ("xl", 51, 6690),
    ],
)
def test_weights_and_arithmetic_of_the_presets_are_the_published_ones(preset, million, gigaflop):
    assert PRESETS[preset].weight_bytes / 2e6 == pytest.approx(million, rel=0.01)
    assert PRESETS[preset].flops / 1e9 == pytest.approx(gigaflop, rel=0.005)


def test_every_preset_of_the_model_has_its_work():
    assert set(settings.PRESETS) <= set(PRESETS)


def test_a_batch_shares_its_weights_and_its_launches():
    work = Work(flops=1e9, activation_bytes=1e6, weight_bytes=1e6, launches=10)
    device = Device(name="d", tflops=1, gigabytes_per_second=1, memory_gigabytes=1, source="s")
    one, four = step_time(work, device), step_time(work, device, 4)
    assert four.compute == 4 * one.compute
    assert four.memory == pytest.approx(2.5 * one.memory)
    assert four.launches == one.launches
    assert device.ridge == 1000


def test_one_graph_starts_faster_than_its_kernels():
    work = PRESETS["tiny"]
    assert step_time(as_graph(work), DEVICES["L4"]).launches < step_time(work, DEVICES["L4"]).launches / 10


def test_what_does_not_fit_into_the_memory_is_known():
    work = PRESETS["xl"]
    assert fits(work, DEVICES["L4"], 5)
    assert not fits(work, DEVICES["L4"], 6)


def test_every_device_says_where_its_figures_come_from():
    assert {"L4", "A100-40", "A100-80", "L40S", "H100", "H200"} <= set(DEVICES)
    assert all(len(device.source) > 10 for device in DEVICES.values())
