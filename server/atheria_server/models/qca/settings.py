"""What a person may set on the qca model: `spec.model.parameters` of an AtheriaModel, `--set` on the command line.

Parsed once at start by the front process and again in the worker; no torch here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Scalar = str | int | float | bool
LawName = Literal["kerr", "nca"]

LAWS: Final[tuple[str, ...]] = get_args(LawName)
CHANNELS_DEFAULT: Final = 8
CHANNELS_MULTIPLE: Final = 8
CHANNELS_MAX: Final = 64
KAPPA_DEFAULT: Final = 0.5
THETA0_DEFAULT: Final = math.pi / 4
THREADS_MAX: Final = 256


class QcaSettingsError(ValueError):
    """The model's parameters cannot be used; the message names the parameter, its value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QcaSettings:
    """Which law is served, with which constants."""

    law: LawName = "nca"
    channels: int = CHANNELS_DEFAULT
    """Complex channels per cell, `d` in the parameters; a multiple of 8."""
    kappa: float = KAPPA_DEFAULT
    """kerr only: phase per step and unit of smoothed density, radians."""
    theta0: float = THETA0_DEFAULT
    """kerr only: mixing angle of neighbouring channels, radians."""
    weights: str = ""
    """nca only: a safetensors file; empty = the trained one that ships with the package."""
    threads: int = 1
    """Threads of torch inside the worker. 1 also makes a batch equal its single rows bit for bit."""


_ONLY_FOR: Final[Mapping[str, str]] = {"kappa": "kerr", "theta0": "kerr", "weights": "nca"}
_ALLOWED: Final = ("law", "d", "kappa", "theta0", "weights", "threads")


def parse_settings(parameters: Mapping[str, Scalar]) -> QcaSettings:
    """Settings from the model's parameters. Raises QcaSettingsError for an unknown, ill-typed or unused one."""
    if unknown := sorted(set(parameters) - set(_ALLOWED)):
        raise QcaSettingsError(
            f"unknown parameter {unknown[0]!r} of model qca; allowed: {', '.join(_ALLOWED)}"
        )
    law = parameters.get("law", "nca")
    if law not in LAWS:
        raise QcaSettingsError(f"parameter law is {law!r}; allowed: {', '.join(LAWS)}")
    for name, owner in _ONLY_FOR.items():
        if name in parameters and owner != law:
            raise QcaSettingsError(
                f"parameter {name} belongs to law {owner}, but law is {law}; remove it or set law={owner}"
            )
    return QcaSettings(
        law="kerr" if law == "kerr" else "nca",
        channels=_channels(parameters.get("d", CHANNELS_DEFAULT)),
        kappa=_real("kappa", parameters.get("kappa", KAPPA_DEFAULT)),
        theta0=_real("theta0", parameters.get("theta0", THETA0_DEFAULT)),
        weights=_path(parameters.get("weights", "")),
        threads=_integer("threads", parameters.get("threads", 1), 1, THREADS_MAX),
    )


def _channels(value: Scalar) -> int:
    channels = _integer("d", value, CHANNELS_MULTIPLE, CHANNELS_MAX)
    if channels % CHANNELS_MULTIPLE:
        raise QcaSettingsError(f"parameter d is {channels}; expected a multiple of {CHANNELS_MULTIPLE}")
    return channels


def _integer(name: str, value: Scalar, low: int, high: int) -> int:
    try:
        number = value if isinstance(value, int) else int(str(value))
    except ValueError:
        number = low - 1
    if isinstance(value, bool) or not low <= number <= high:
        raise QcaSettingsError(f"parameter {name} is {value!r}; expected a whole number from {low} to {high}")
    return number


def _real(name: str, value: Scalar) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise QcaSettingsError(f"parameter {name} is {value!r}; expected a finite number of radians")
    return number


def _path(value: Scalar) -> str:
    if not isinstance(value, str):
        raise QcaSettingsError(f"parameter weights is {value!r}; expected the path of a safetensors file")
    return value
