"""All dashboards, as files."""

from __future__ import annotations

import json
from typing import Final

from tools.dashboards.autoscaler import AUTOSCALER
from tools.dashboards.fleet import FLEET
from tools.dashboards.gpu import GPU
from tools.dashboards.health import HEALTH
from tools.dashboards.model import MODEL_BOARD

BOARDS: Final = (FLEET, MODEL_BOARD, AUTOSCALER, GPU, HEALTH)


def documents() -> dict[str, str]:
    """Content by file name."""
    return {
        f"{board.uid}.json": json.dumps(board.as_json(), indent=1, ensure_ascii=False) + "\n"
        for board in BOARDS
    }
