"""Types of the custom resources, from which the CRDs, `kubectl explain` and the parser's defaults come.

Every field has a description with its unit, default and bounds. `api.schema` turns them into structural schemas;
`api.parse` turns a body into a `ModelIntent`. Field names are those of the API (camelCase), in this package only.
"""

from __future__ import annotations

from atheria_operator.api.types.fields import DURATION_PATTERN, MAX_NAME_LENGTH, SOURCE_PATTERN
from atheria_operator.api.types.optimization import Cache, Compile, Precision, Quality, Warmup
from atheria_operator.api.types.profile import HardwareProfileSpec
from atheria_operator.api.types.spec import AtheriaModelSpec
from atheria_operator.api.types.status import AtheriaModelStatus

__all__ = [
    "DURATION_PATTERN",
    "MAX_NAME_LENGTH",
    "SOURCE_PATTERN",
    "AtheriaModelSpec",
    "AtheriaModelStatus",
    "Cache",
    "Compile",
    "HardwareProfileSpec",
    "Precision",
    "Quality",
    "Warmup",
]
