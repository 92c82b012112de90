"""docs/reference is what the types say, and leaves no field out."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from atheria_operator.api.types import AtheriaModelSpec, HardwareProfileSpec

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def _generator() -> Any:
    spec = importlib.util.spec_from_file_location(
        "generate_reference", ROOT / "tools" / "generate_reference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_what_the_types_say() -> None:
    assert _generator().stale() == [], "run make generate"


def test_every_part_of_both_specs_is_on_its_page() -> None:
    for kind, page in (
        (AtheriaModelSpec, "atheriamodel.md"),
        (HardwareProfileSpec, "atheriahardwareprofile.md"),
    ):
        text = (REFERENCE / page).read_text(encoding="utf-8")
        for name in kind.model_fields:
            assert f"| `spec.{name}` |" in text, name


def test_familiar_names_are_not_listed_as_fields() -> None:
    text = (REFERENCE / "atheriamodel.md").read_text(encoding="utf-8")
    fields, familiar = text.split("## Names from KServe and Knative")
    assert "spec.predictor" not in fields
    assert "| `spec.predictor` | set spec.model.source" in familiar
