"""Costs by device: the modelled rows, and waterfalls of measured and modelled chains."""

from __future__ import annotations

import pytest

from atheria_server.core.cost_table import (
    Chain,
    CostRow,
    Operation,
    chain_waterfall,
    modelled_chain,
    modelled_row,
)
from atheria_server.core.economics import Price
from atheria_server.core.roofline import PRESETS
from atheria_server.optimize.evaluation.tables import read_devices

DEVICES = read_devices()
A100 = Price(device="A100", usd_per_hour=2.5, usd_per_hour_high=3.0, source="s", date="2025")
L4 = Price(device="L4", usd_per_hour=0.5, usd_per_hour_high=0.5, source="s", date="2025")
SAME = Operation(utilisation=(1.0, 1.0), cold_seconds=(0.0, 0.0), starts_per_day=0.0)


def test_the_published_factor_comes_out_of_a_chain_with_4_times_the_throughput():
    chain = Chain(naive=2.0, steps=[("batch", 0.6, ""), ("compile", 0.5, "")], basis="measured")
    fall = chain_waterfall(chain, A100, L4, SAME)
    assert [step.name for step in fall.steps] == ["price", "batch", "compile", "utilisation", "cold start"]
    assert fall.first / 1000 == pytest.approx(0.001389, abs=5e-7)
    assert fall.last / 1000 == pytest.approx(0.0000694, abs=5e-8)
    assert fall.total == pytest.approx(20.0)
    assert fall.product == pytest.approx(fall.total, rel=0.01)


def test_idle_time_and_loading_are_factors_of_their_own():
    operation = Operation(utilisation=(0.25, 0.75), cold_seconds=(3600.0, 0.0), starts_per_day=24.0)
    fall = chain_waterfall(Chain(naive=1.0, steps=[], basis="measured"), L4, L4, operation)
    factors = {step.name: step.factor for step in fall.steps}
    assert factors == {"price": 1.0, "utilisation": pytest.approx(3.0), "cold start": pytest.approx(2.0)}


def test_a_modelled_row_says_so_and_is_a_bound():
    row = modelled_row(DEVICES["L4"], L4, PRESETS["large"], steps=8, rows=4)
    assert row.basis == "modelled"
    assert row.bound == "compute"
    # Where arithmetic is the limit, a batch gains nothing.
    assert row.batch_seconds == pytest.approx(4 * row.naive_seconds, rel=1e-6)
    assert row.to_json(0.75)["cost_basis"] == "modelled"


def test_where_launches_are_the_limit_batches_and_graphs_gain_most():
    row = modelled_row(DEVICES["A100-80"], A100, PRESETS["tiny"], steps=1, rows=8)
    assert row.naive_seconds / (row.batch_seconds / row.rows) > 10


def test_costs_of_a_row_follow_from_its_times():
    row = CostRow(price=A100, basis="measured", naive_seconds=2.0, rows=4, batch_seconds=2.0, bound="")
    assert row.throughput == pytest.approx(2)
    assert row.naive_usd() == pytest.approx(1.389, abs=5e-4)
    assert row.busy_usd() == (pytest.approx(0.347, abs=5e-4), pytest.approx(0.417, abs=5e-4))
    assert row.reserved_usd(0.5) == pytest.approx(2 * row.busy_usd()[0])


def test_a_modelled_chain_ends_where_the_row_of_its_device_is():
    chain = modelled_chain(DEVICES["A100-80"], DEVICES["L4"], PRESETS["tiny"], steps=8, rows=16)
    row = modelled_row(DEVICES["L4"], L4, PRESETS["tiny"], steps=8, rows=16)
    assert chain.steps[-1][1] == pytest.approx(row.batch_seconds / row.rows)
    assert chain.basis == "modelled"
