"""Summaries of `atheria-server evaluate --cache FOLDER`, found again by servers of the same model and settings.

They are told in `/v2/health/optimization` and in the status of an AtheriaModel. A summary is information for people: it
decides nothing, so it is not signed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from atheria_contract.serving import ServingConfig
from atheria_server.core.optimization_metrics import kept_loss
from atheria_server.optimize.published import publish

_LOG = logging.getLogger("atheria.optimize")
MAX_BYTES: Final = 4096
_FOLDER: Final = "evaluations"


def keep_evaluation(config: ServingConfig, summary: Mapping[str, Any]) -> None:
    """Into `config.cache.directory`, over an older one. Raises OSError, and ValueError for more than MAX_BYTES."""
    text = json.dumps(summary, separators=(",", ":"))
    if len(text) > MAX_BYTES:
        raise ValueError(f"the summary has {len(text)} bytes; at most {MAX_BYTES} are kept")
    publish(_path(config), text.encode())


def kept_evaluation(config: ServingConfig) -> dict[str, Any] | None:
    """The summary of the same model and settings, if there is a folder and one in it."""
    if not config.cache.directory:
        return None
    path = _path(config)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        # As `figures` writes what is no number: JSON has none for NaN, and the report that takes this in is JSON.
        found = (
            json.loads(data, parse_constant=lambda _: None, parse_float=_finite)
            if len(data) <= MAX_BYTES
            else None
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        _LOG.warning("event=evaluation_ignored file=%s error=%r", path, error)
        return None
    return found if isinstance(found, dict) else None


def warn_of_loss(summary: Mapping[str, Any] | None) -> None:
    """Into the log, where all options together lose more than was allowed when they were measured. The server serves all the same:
    whoever can write to the cache could have written this."""
    judged = kept_loss(summary or {})
    if judged is not None and judged.is_too_much:
        _LOG.warning(
            "event=options_lose_too_much option=%s loss_share=%g allowed_share=%g next=%r",
            judged.option,
            judged.loss,
            judged.limit,
            "turn one option off, or evaluate again with a larger --loss",
        )


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _path(config: ServingConfig) -> Path:
    """By everything that makes the variant; not by name, ports, queue or gate."""
    document = {
        "source": config.source,
        "parameters": config.parameters,
        "digest": config.digest,
        "precision": asdict(config.precision),
        "compile": config.compile.mode,
    }
    name = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]
    return Path(config.cache.directory) / _FOLDER / f"{name}.json"
