"""An operator of named namespaces serves these and no others."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from operator_harness import Namespace, running_operator

from atheria_operator import settings


def test_models_outside_the_named_namespaces_are_left_alone(
    cluster: Any, operator: Any, bare: Any, tmp_path: Path
) -> None:
    other = Namespace(cluster, f"other-{uuid.uuid4().hex[:8]}")
    cluster.kubectl("create", "namespace", other.name)
    operator.terminate()
    try:
        other.apply_model()
        with running_operator(cluster, tmp_path, **{settings.ENV_NAMESPACES: bare.name}):
            bare.apply_model()
            bare.wait_condition("Accepted", "True")
            assert "status" not in other.model()
            bare.kubectl("delete", "am", "qca", "--timeout=20s")
    finally:
        operator.start()
        cluster.kubectl("delete", "namespace", other.name, "--wait=false")
