"""The choices at the top of the dashboards that are about models."""

from __future__ import annotations

from typing import Final

from atheria_contract import names
from tools.dashboards.board import variable
from tools.dashboards.queries import ONE_NAMESPACE

NAMESPACES: Final = variable(
    "namespace", "Namespace", f"label_values({names.METRIC_DESIRED_REPLICAS}, namespace)", has_all=True
)
_MODELS: Final = f"label_values({names.METRIC_DESIRED_REPLICAS}{{{ONE_NAMESPACE}}}, model)"
MODELS: Final = variable("model", "Model", _MODELS, has_all=True)
MODEL: Final = variable("model", "Model", _MODELS, has_all=False)
