"""docs/reference leaves no field out; test_generated_files.py keeps it current."""

from __future__ import annotations

from pathlib import Path

from atheria_operator.api.types import AtheriaModelSpec, HardwareProfileSpec

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


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
