"""Every example is a model that the operator takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from atheria_operator.api.model import ModelIntent
from atheria_operator.api.parse import parse_model

EXAMPLES = sorted((Path(__file__).parents[4] / "examples").glob("*/*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_example_is_accepted(path: Path) -> None:
    bodies = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    assert bodies
    for body in bodies:
        metadata = {"uid": "1", "namespace": "demo", **body["metadata"]}
        found = parse_model({**body, "metadata": metadata})
        assert isinstance(found, ModelIntent), found
