"""Bytes as the API spells them, such as 6Gi; called by `api.parse` and by planning."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

_PATTERN: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?")
_FACTORS: Final = {
    "m": Decimal("0.001"), "": Decimal(1), "k": Decimal(10**3), "Ki": Decimal(2**10), "M": Decimal(10**6),
    "Mi": Decimal(2**20), "G": Decimal(10**9), "Gi": Decimal(2**30), "T": Decimal(10**12), "Ti": Decimal(2**40),
    "P": Decimal(10**15), "Pi": Decimal(2**50),
}  # fmt: skip
GIB: Final = 2**30


def quantity_bytes(value: Any, field: str) -> int | None:
    """Bytes of a quantity, rounded down; None for an empty one. Raises ValueError that names `field`."""
    text = "" if value is None else str(value)
    if not text:
        return None
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise ValueError(f"{field} is {text!r}: write bytes as 500000000, 512Mi or 6Gi")
    return int(Decimal(found[1]) * _FACTORS[found[2] or ""])


def bytes_text(count: int) -> str:
    """Bytes for people: 0.50 GiB, 24.0 GiB; below 10 MiB in KiB."""
    gib = count / GIB
    if gib >= 10:
        return f"{gib:.1f} GiB"
    return f"{gib:.2f} GiB" if gib >= 0.01 else f"{count / 2**10:.0f} KiB"
