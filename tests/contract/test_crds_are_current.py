"""The CRDs say everything that a user may ask of them; test_generated_files.py keeps those in the repository current."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atheria_operator.api.schema import build_model_crd, build_profile_crd

ROOT = Path(__file__).parents[2]


def _fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from _fields(field, f"{path}.{name}")
        yield from _fields(field.get("items", {}), f"{path}.{name}[]")


BOTH = pytest.mark.parametrize("build", [build_model_crd, build_profile_crd])


def _part(build: Any, part: str) -> list[tuple[str, dict[str, Any]]]:
    schema = build()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return list(_fields(schema.get(part, {}), part))


@BOTH
def test_every_field_has_a_description_and_every_optional_one_names_its_default(build: Any) -> None:
    for path, field in _part(build, "spec"):
        assert field.get("description"), path
        assert ("Default: " in field["description"]) != ("Required." in field["description"]), path
    for path, field in _part(build, "status"):
        assert field.get("description"), path


@BOTH
def test_every_description_has_the_bounds_that_the_api_server_holds(build: Any) -> None:
    for path, field in [*_part(build, "spec"), *_part(build, "status")]:
        for bound in ("maximum", "maxItems", "maxProperties"):
            if bound in field:
                assert str(field[bound]) in field["description"], f"{path} does not say its {bound}"


@BOTH
def test_every_description_has_the_default_that_the_api_server_fills_in(build: Any) -> None:
    for path, field in _part(build, "spec"):
        default = field.get("default")
        if isinstance(default, (bool, int)) or (isinstance(default, str) and default):
            said = field["description"].split("Default: ")[-1].lower()
            assert str(default).lower() in said, f"{path} does not say its default {default}"


def test_every_word_that_is_allowed_is_in_the_description() -> None:
    for path, field in _part(build_model_crd, "spec"):
        for word in field.get("enum", ()):
            assert str(word) in field["description"], f"{path} does not say {word}"


@BOTH
def test_every_list_of_objects_says_how_two_writers_share_it(build: Any) -> None:
    for path, field in [*_part(build, "spec"), *_part(build, "status")]:
        if field.get("type") == "array" and field["items"].get("type") == "object":
            assert field.get("x-kubernetes-list-type") in ("map", "atomic"), path


def test_conditions_are_a_map_so_that_two_writers_do_not_lose_each_others() -> None:
    schema = build_model_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    conditions = schema["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
