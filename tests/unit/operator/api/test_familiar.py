"""Names of KServe and Knative are refused with the field that means the same here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from atheria_operator.api.familiar import ANNOTATIONS, FIELDS, annotation_problem
from atheria_operator.api.model import ModelIntent, Problem
from atheria_operator.api.parse import parse_model
from atheria_operator.api.schema import structural_schema
from atheria_operator.api.types import AtheriaModelSpec

Bodies = Callable[..., dict[str, Any]]


def _paths(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from _paths(field, f"{path}.{name}")


PATHS = set(_paths(structural_schema(AtheriaModelSpec), "spec"))


@pytest.mark.parametrize("instead", sorted({*ANNOTATIONS.values(), *(field.instead for field in FIELDS)}))
def test_every_field_that_is_recommended_exists(instead: str) -> None:
    named = [word.strip(",;:") for word in instead.split() if word.startswith("spec.")]
    assert named or "leave it out" in instead
    for path in named:
        assert path in PATHS or path.startswith("spec.podTemplate."), path


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.path)
def test_no_familiar_field_hides_one_of_ours(field: Any) -> None:
    assert f"spec.{field.path}" not in PATHS


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("autoscaling.knative.dev/min-scale", "min-scale: '1', which Atheria does not obey: set spec.scaling.minReplicas, and remove"),
        ("serving.kserve.io/autoscalerClass", "set spec.scaling.class"),
        ("serving.kserve.io/anything", "remove it, nothing in Atheria obeys it"),
    ],
)  # fmt: skip
def test_an_annotation_that_nothing_obeys_is_a_problem_and_no_silent_wish(
    body: Bodies, key: str, words: str
) -> None:
    given = body()
    given["metadata"]["annotations"] = {"a": "b", key: "1"}
    found = parse_model(given)
    assert isinstance(found, Problem)
    assert found.reason == "ForeignAnnotation"
    assert words in found.message


def test_other_annotations_are_nobodys_business(body: Bodies) -> None:
    given = body()
    given["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "x": "y"}
    assert isinstance(parse_model(given), ModelIntent)
    assert annotation_problem({}) is None
