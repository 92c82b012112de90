"""What is measured, and the published figures of the same variants on another training of the same law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from atheria_contract.optimization import CalibrationConfig, PrecisionConfig

FIRST: Final = "law.hidden.0"
OUT: Final = "law.out"
INT4_GROUP: Final = 32
"""Inputs that share a scale in the row that rounds to int4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Fidelities after 8, 16 and 32 steps, errors after 16 steps in percent, and whether each profile passed."""

    f_8: float
    f_16: float
    f_32: float
    c4: float
    contrast: float
    strict: bool
    default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One variant."""

    title: str
    config: PrecisionConfig | None
    """None = the middle layers are rounded to int4, for which there is no policy."""
    published: Published | None


ROWS: Final = (
    Row(
        title="bf16 law, fp32 state",
        config=PrecisionConfig(policy="bf16"),
        published=Published(
            f_8=1.0, f_16=0.9998, f_32=0.9959, c4=0.03, contrast=0.11, strict=True, default=True
        ),
    ),
    Row(
        title="int8 per channel, all",
        config=PrecisionConfig(policy="int8"),
        published=Published(
            f_8=1.0, f_16=0.9997, f_32=0.9975, c4=0.42, contrast=0.48, strict=True, default=True
        ),
    ),
    Row(
        title="int8 weights and dynamic int8 activations, out 32-bit",
        config=PrecisionConfig(
            policy="int8", keep_fp32=(OUT,), calibration=CalibrationConfig(method="dynamic")
        ),
        published=Published(
            f_8=1.0, f_16=0.9998, f_32=0.9975, c4=0.31, contrast=0.36, strict=True, default=True
        ),
    ),
    Row(
        title="nf4 block 64, all",
        config=PrecisionConfig(policy="nf4"),
        published=Published(
            f_8=0.9949, f_16=0.9684, f_32=0.5357, c4=4.47, contrast=5.88, strict=False, default=False
        ),
    ),
    Row(
        title="nf4, out kept",
        config=PrecisionConfig(policy="nf4", keep_fp32=(OUT,)),
        published=Published(
            f_8=0.9988, f_16=0.9881, f_32=0.8737, c4=4.33, contrast=4.46, strict=False, default=True
        ),
    ),
    Row(
        title="nf4, middle only",
        config=PrecisionConfig(policy="nf4", keep_fp32=(FIRST, OUT)),
        published=Published(
            f_8=0.9998, f_16=0.9983, f_32=0.9866, c4=1.67, contrast=1.69, strict=True, default=True
        ),
    ),
    Row(
        title="hierarchy: int8 in, nf4 middle, 32-bit out",
        config=PrecisionConfig(policy="hierarchy", head="fp32"),
        published=Published(
            f_8=0.9997, f_16=0.9977, f_32=0.9833, c4=1.93, contrast=1.99, strict=True, default=True
        ),
    ),
    Row(
        title="int4 symmetric group 32, middle only",
        config=None,
        published=Published(
            f_8=0.9999, f_16=0.9996, f_32=0.9935, c4=0.03, contrast=0.0, strict=True, default=True
        ),
    ),
    Row(
        title="hierarchy as it is by default (bf16 out)",
        config=PrecisionConfig(policy="hierarchy"),
        published=None,
    ),
    Row(
        title="nf4, out only",
        config=PrecisionConfig(policy="nf4", keep_fp32=("law.hidden.*",)),
        published=None,
    ),
)
