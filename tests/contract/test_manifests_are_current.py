"""manifests/ installs what the chart installs, without Helm."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.chart import ROOT, render

MANIFESTS = ROOT / "manifests"


def _generator() -> Any:
    spec = importlib.util.spec_from_file_location(
        "generate_manifests", ROOT / "tools" / "generate_manifests.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _objects() -> list[dict[str, Any]]:
    text = (MANIFESTS / "install" / "atheria.yaml").read_text(encoding="utf-8")
    return [item for item in yaml.safe_load_all(text) if item]


def test_the_file_is_what_the_chart_says() -> None:
    generator = _generator()
    try:
        assert generator.is_current(), "run make generate"
    except generator.NoHelm as missing:
        pytest.skip(str(missing))


def test_all_of_the_chart_is_there_but_hooks_and_definitions() -> None:
    wanted = {
        (item["kind"], item["metadata"]["name"])
        for item in render()
        if "helm.sh/hook" not in item["metadata"].get("annotations", {})
        and item["kind"] != "CustomResourceDefinition"
    }
    assert {(item["kind"], item["metadata"]["name"]) for item in _objects()} == wanted | {
        ("Namespace", "atheria-system")
    }


def test_nothing_says_that_helm_manages_it() -> None:
    assert (
        "Helm" not in (MANIFESTS / "install" / "atheria.yaml").read_text(encoding="utf-8").split("\n", 1)[1]
    )


def test_the_kustomization_names_every_definition() -> None:
    listed = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert set(listed) == {f"crds/{path.name}" for path in Path(MANIFESTS / "crds").glob("*.yaml")} | {
        "install/atheria.yaml"
    }
