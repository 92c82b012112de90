"""What a person may set on the qca model: `spec.model.parameters` of an AtheriaModel, `--set` on the command line.

Parsed once at start by the front process and again in the worker; no torch here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Scalar = str | int | float | bool
LawName = Literal["kerr", "nca", "unet", "euler"]

LAWS: Final[tuple[LawName, ...]] = get_args(LawName)
CHANNELS_DEFAULT: Final = 8
CHANNELS_MULTIPLE: Final = 8
CHANNELS_MAX: Final = 64
KAPPA_DEFAULT: Final = 0.5
THETA0_DEFAULT: Final = math.pi / 4
HIDDEN_MAX: Final = 8192
DEPTH_MAX: Final = 16
THREADS_MAX: Final = 256

PRESETS: Final[Mapping[str, Mapping[str, Scalar]]] = {
    "tiny": {"law": "nca", "d": 8, "hidden": 64, "depth": 2},
    "small": {"law": "unet", "d": 8, "hidden": 32},
    "base": {"law": "unet", "d": 8, "hidden": 64},
    "large": {"law": "unet", "d": 16, "hidden": 256},
    "xl": {"law": "nca", "d": 16, "hidden": 4096, "depth": 4},
}
"""Sizes by name, from 9.6 thousand to 51 million weights; other parameters replace a preset's."""


class QcaSettingsError(ValueError):
    """The model's parameters cannot be used; the message names the parameter, its value and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QcaSettings:
    """Which law is served, with which constants."""

    law: LawName = "nca"
    channels: int = CHANNELS_DEFAULT
    """Complex channels per cell, `d` in the parameters; a multiple of 8."""
    hidden: int | None = None
    """Width of the network: units of a hidden layer (nca, euler; 64) or channels on the full grid (unet; 32).
    None: that of the weights file, or the law's own."""
    depth: int | None = None
    """nca and euler only: hidden layers. None: those of the weights file, or 2."""
    kappa: float = KAPPA_DEFAULT
    """kerr only: phase per step and unit of smoothed density, radians."""
    theta0: float = THETA0_DEFAULT
    """kerr only: mixing angle of neighbouring channels, radians."""
    weights: str = ""
    """All but kerr: a safetensors file. Empty = the trained one that ships with the package for nca in its default
    size, and otherwise untrained ones, drawn from a fixed seed."""
    volumes: bool = False
    """Offer the output `volume`, to requests with the parameter `depth`."""
    threads: int = 1
    """Threads of torch inside the worker. 1 also makes a batch equal its single rows bit for bit."""


_ONLY_FOR: Final[Mapping[str, tuple[LawName, ...]]] = {
    "kappa": ("kerr",),
    "theta0": ("kerr",),
    "weights": ("nca", "unet", "euler"),
    "hidden": ("nca", "unet", "euler"),
    "depth": ("nca", "euler"),
}
_ALLOWED: Final = (
    "preset",
    "law",
    "d",
    "hidden",
    "depth",
    "kappa",
    "theta0",
    "weights",
    "volumes",
    "threads",
)


def parse_settings(parameters: Mapping[str, Scalar]) -> QcaSettings:
    """Settings from the model's parameters. Raises QcaSettingsError for an unknown, ill-typed or unused one."""
    if unknown := sorted(set(parameters) - set(_ALLOWED)):
        raise QcaSettingsError(
            f"unknown parameter {unknown[0]!r} of model qca; allowed: {', '.join(_ALLOWED)}"
        )
    parameters = {**_preset(parameters), **parameters}
    law = _law(parameters.get("law", "nca"))
    for name, owners in _ONLY_FOR.items():
        if name in parameters and law not in owners:
            raise QcaSettingsError(
                f"parameter {name} belongs to law {' or '.join(owners)}, but law is {law}; "
                f"remove it or set law={owners[0]}"
            )
    return QcaSettings(
        law=law,
        channels=_channels(parameters.get("d", CHANNELS_DEFAULT)),
        hidden=_size("hidden", parameters, HIDDEN_MAX),
        depth=_size("depth", parameters, DEPTH_MAX),
        kappa=_real("kappa", parameters.get("kappa", KAPPA_DEFAULT)),
        theta0=_real("theta0", parameters.get("theta0", THETA0_DEFAULT)),
        weights=_path(parameters.get("weights", "")),
        volumes=_flag("volumes", parameters.get("volumes", False)),
        threads=_integer("threads", parameters.get("threads", 1), 1, THREADS_MAX),
    )


def _preset(parameters: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
    if "preset" not in parameters:
        return {}
    name = parameters["preset"]
    if not isinstance(name, str) or name not in PRESETS:
        raise QcaSettingsError(f"parameter preset is {name!r}; allowed: {', '.join(PRESETS)}")
    preset = PRESETS[name]
    law = parameters.get("law", preset["law"])
    if law != preset["law"]:
        raise QcaSettingsError(
            f"preset {name} is of law {preset['law']}, but law is {law!r}; remove one of the two"
        )
    return preset


def _flag(name: str, value: Scalar) -> bool:
    if not isinstance(value, bool):
        raise QcaSettingsError(f"parameter {name} is {value!r}; expected true or false")
    return value


def _law(value: Scalar) -> LawName:
    for name in LAWS:
        if value == name:
            return name
    raise QcaSettingsError(f"parameter law is {value!r}; allowed: {', '.join(LAWS)}")


def _size(name: str, parameters: Mapping[str, Scalar], high: int) -> int | None:
    return _integer(name, parameters[name], 1, high) if name in parameters else None


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
