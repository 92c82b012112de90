"""The pages for who comes from another server: their AtheriaModels are accepted, and the fields that they name exist."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from atheria_contract import names
from atheria_operator.api.familiar import FIELDS
from atheria_operator.api.model import ModelIntent
from atheria_operator.api.parse import parse_model
from atheria_operator.api.schema import build_model_crd
from tests.contract.expositions import series_names

PAGES = sorted((Path(__file__).parents[2] / "docs" / "migration").glob("*.md"))
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
_BLOCK = re.compile(r"^ *```yaml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"\bspec\.[A-Za-z]+(?:\.[A-Za-z]+)*")
_THEIRS = {"spec.predictor", "spec.transformer", "spec.explainer"}
"""Fields of an InferenceService, which the pages name as well."""


def models(page: Path) -> list[dict[str, Any]]:
    """The AtheriaModels of a page."""
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    objects = [item for block in blocks for item in yaml.safe_load_all(textwrap.dedent(block))]
    return [item for item in objects if item.get("kind") == names.MODEL_KIND]


def fields(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Every path of the definition, and each that has no schema of its own with a dot behind it."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        if inner.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{path}.{name}."
        yield from fields(inner, f"{path}.{name}")


def parse(body: dict[str, Any]) -> Any:
    return parse_model({**body, "metadata": {"uid": "1", "namespace": "demo", **body["metadata"]}})


@EACH
def test_every_model_of_a_page_is_accepted(page: Path) -> None:
    found = models(page)
    assert found
    for body in found:
        parsed = parse(body)
        assert isinstance(parsed, ModelIntent), parsed


def test_a_model_with_a_field_of_theirs_would_not_be() -> None:
    body = models(PAGES[0])[0]
    body["spec"]["scaling"]["containerConcurrency"] = 4
    assert not isinstance(parse(body), ModelIntent)


@EACH
def test_every_field_that_a_page_names_exists(page: Path) -> None:
    schema = build_model_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    known = set(fields(schema["properties"]["spec"], "spec"))
    free = tuple(path for path in known if path.endswith("."))
    named = set(_FIELD.findall(page.read_text(encoding="utf-8"))) - _THEIRS
    assert len(named) > 10
    assert {field for field in named if field not in known and not field.startswith(free)} == set()


@EACH
def test_every_metric_of_ours_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"\batheria_[a-z0-9_]+", page.read_text(encoding="utf-8")))
    histograms = {name.removesuffix("_bucket") for name in series_names()}
    assert named - series_names() - histograms == set()


def test_what_is_refused_of_an_inference_service_is_on_its_page() -> None:
    text = (PAGES[0].parent / "kserve.md").read_text(encoding="utf-8")
    ours_alone = {"scaling", "batching", "hardware"}
    missing = [
        field.path
        for field in FIELDS
        if field.path.partition(".")[0] not in ours_alone
        and field.path not in ("template", "traffic", "deploymentStrategy", "resources")
        and field.path.rpartition(".")[2] not in text
    ]
    assert missing == []
