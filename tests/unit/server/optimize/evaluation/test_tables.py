"""Prices and devices: every number has an origin, and a damaged table is refused by entry and field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atheria_server.optimize.evaluation.tables import TableError, price_of, read_devices, read_prices

GOOD = {"device": "X", "usd_per_hour": 1.5, "source": "an invoice", "date": "2026-05"}


def written(folder: Path, content: object) -> Path:
    path = folder / "prices.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_every_device_and_the_cpu_have_a_price_with_source_and_date():
    prices = read_prices()
    assert {"cpu", *read_devices()} <= set(prices)
    for price in prices.values():
        assert 0 < price.usd_per_hour <= price.usd_per_hour_high
        assert price.source
        assert price.date.startswith("20")


def test_a_file_of_ones_own_replaces_the_table(tmp_path: Path):
    prices = read_prices(written(tmp_path, [GOOD]))
    assert list(prices) == ["X"]
    assert price_of(prices, "X").usd_per_hour_high == 1.5
    with pytest.raises(TableError, match="no price for 'L4'; there are prices for X; add an entry"):
        price_of(prices, "L4")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("{}", "holds dict; expected a list"),
        (
            [GOOD, {**GOOD, "source": ""}],
            "entry 1: source is ''; expected a text, every number needs its origin",
        ),
        ([{**GOOD, "usd_per_hour": 0}], "entry 0: usd_per_hour is 0; expected a positive number"),
        ([{**GOOD, "usd_per_hour": "1"}], "usd_per_hour is '1'"),
        ([{**GOOD, "usd_per_hour": True}], "usd_per_hour is True"),
        ([{k: v for k, v in GOOD.items() if k != "date"}], "date is None"),
        ([{**GOOD, "price": 1}], "unknown field 'price'; allowed: device"),
    ],
)
def test_a_damaged_table_is_refused_by_entry_and_field(tmp_path: Path, content, words):
    with pytest.raises(TableError, match=words):
        read_prices(written(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(TableError, match=r"none.json cannot be read: No such file"):
        read_prices(tmp_path / "none.json")
