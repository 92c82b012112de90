"""Reads the tables that a cost starts from: prices and devices, each entry with its source. Called by the commands.

The tables that come with the package are a beginning: prices change, so `--prices FILE` replaces them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any, Final

from atheria_server.core.economics import Price
from atheria_server.core.roofline import Device

PRICES_FILE: Final = "prices.json"
DEVICES_FILE: Final = "devices.json"


class TableError(ValueError):
    """A table cannot be used; the message names the file, the entry and the field."""


def read_prices(path: Path | None = None) -> Mapping[str, Price]:
    """Prices by device, of a JSON list of objects with the fields of Price. Raises TableError.

    `usd_per_hour_high` may be left out where a source names one price.
    """
    entries = _read(path, PRICES_FILE)
    for entry in entries:
        entry.setdefault("usd_per_hour_high", entry.get("usd_per_hour"))
    return {price.device: price for price in _parsed(entries, Price, path or PRICES_FILE)}


def read_devices() -> Mapping[str, Device]:
    """Data sheets by name."""
    return {device.name: device for device in _parsed(_read(None, DEVICES_FILE), Device, DEVICES_FILE)}


def price_of(prices: Mapping[str, Price], device: str) -> Price:
    """Raises TableError for a device without a price."""
    if device not in prices:
        raise TableError(
            f"no price for {device!r}; there are prices for {', '.join(prices)}; add an entry with --prices FILE"
        )
    return prices[device]


def _read(path: Path | None, packaged: str) -> list[dict[str, Any]]:
    name = str(path or packaged)
    try:
        text = path.read_text() if path else resources.files(__package__).joinpath(packaged).read_text()
        entries = json.loads(text)
    except OSError as error:
        raise TableError(f"{name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise TableError(f"{name} is not JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise TableError(f"{name} holds {type(entries).__name__}; expected a list of objects")
    return entries


def _parsed(entries: list[dict[str, Any]], kind: Any, name: object) -> list[Any]:
    return [_one(entry, kind, f"{name}, entry {index}") for index, entry in enumerate(entries)]


def _one(entry: Mapping[str, Any], kind: Any, where: str) -> Any:
    wanted = {field.name: field.type for field in fields(kind)}
    if unknown := sorted(set(entry) - set(wanted)):
        raise TableError(f"{where}: unknown field {unknown[0]!r}; allowed: {', '.join(wanted)}")
    for name, type_name in wanted.items():
        value = entry.get(name)
        if type_name == "float":
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise TableError(f"{where}: {name} is {value!r}; expected a positive number")
        elif not isinstance(value, str) or not value:
            raise TableError(f"{where}: {name} is {value!r}; expected a text, every number needs its origin")
    return kind(**entry)
