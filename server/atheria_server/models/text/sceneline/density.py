"""The density of a qca state as a picture that sceneline can read: what joins the two reference models. No torch.

Called by `text.sceneline_origin` in the front.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from atheria_server.models.contract import InvalidRequestError
from atheria_server.models.text.sceneline.signature import INPUT_DENSITY


def picture_of_density(given: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """FP32 [1, height, width], qca's output `density` -> UINT8 [1, height, width, 3], the same grey in all three.

    A cell is round(255 rho / (rho + mean of rho)), as in qca's own `picture`: 0 for nothing, 128 for the mean density. Raises
    InvalidRequestError for another type or shape, and for densities that are negative or no numbers.
    """
    if given.dtype != np.float32:
        raise InvalidRequestError(f"input {INPUT_DENSITY} has dtype {given.dtype}; expected FP32")
    if given.ndim != 3 or given.shape[0] != 1 or 0 in given.shape:
        raise InvalidRequestError(
            f"input {INPUT_DENSITY} has shape {list(given.shape)}; expected [1, height, width]: send each field as a call of its own"
        )
    if not (np.isfinite(given).all() and (given >= 0).all()):
        raise InvalidRequestError(
            f"input {INPUT_DENSITY} has values that are negative, infinite or no numbers; expected 0 and more"
        )
    rho = given.astype(np.float64)
    mean = rho.mean()
    grey = np.rint(255 * rho / (rho + mean)) if mean > 0 else rho
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)
