"""The laws: what takes a state one step further. One module a law; `build` makes the one that settings name.

`kerr` is analytic, `nca` a small network at every cell, `unet` a convolutional network: all three only decide angles of
one exact step. `euler` is the rule of the original Atheria with its normalisation made global, for comparison only.
Used by `weights`, `evolution`, `train` and tests.
"""

from __future__ import annotations

from atheria_server.models.qca.laws.euler import EulerLaw
from atheria_server.models.qca.laws.kerr import KerrLaw
from atheria_server.models.qca.laws.law import CoinLaw, Law
from atheria_server.models.qca.laws.nca import NcaLaw
from atheria_server.models.qca.laws.unet import UnetLaw

__all__ = ["CoinLaw", "EulerLaw", "KerrLaw", "Law", "NcaLaw", "UnetLaw"]
