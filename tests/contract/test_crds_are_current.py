"""The CRDs in the repository are those of the types, and say everything that a user may ask of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_operator.api.schema import build_model_crd, build_profile_crd

ROOT = Path(__file__).parents[2]


def _generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_crds", ROOT / "tools" / "generate_crds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from _fields(field, f"{path}.{name}")
        yield from _fields(field.get("items", {}), f"{path}.{name}[]")


def test_the_files_are_what_the_types_say() -> None:
    assert _generator().stale() == [], "run make generate"


@pytest.mark.parametrize("build", [build_model_crd, build_profile_crd])
def test_every_field_has_a_description_and_every_optional_one_names_its_default(build: Any) -> None:
    schema = build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    required = {"source", "model", "usdPerHour", "claimName", "path"}
    for path, field in _fields(schema, "spec"):
        assert field.get("description"), path
        if path.rsplit(".", 1)[-1] not in required:
            assert "Default: " in field["description"], path


def test_conditions_are_a_map_so_that_two_writers_do_not_lose_each_others() -> None:
    schema = build_model_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    conditions = schema["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
