"""docs/reference/metrics.md and alerts.md leave nothing out; test_generated_files.py keeps them current."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric

from atheria_contract import names
from tools import generate_alerts, generate_metrics


def _rows(page: Path) -> list[str]:
    return re.findall(r"^\| `?\[?([A-Za-z_0-9:.]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_every_metric_of_the_contract_is_on_the_page() -> None:
    declared = {value for key, value in vars(names).items() if key.startswith("METRIC_")}
    assert len(declared) > 80
    missing = declared - set(_rows(generate_metrics.PAGE))
    assert not missing, (
        f"not in tests/contract/expositions.py, or no metric of any program: {sorted(missing)}"
    )


def test_a_metric_without_a_sample_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"atheria_new has no sample.*expositions\.py"):
        generate_metrics._row(Metric("atheria_new", "words", "gauge"))


def test_every_alert_and_every_budget_is_on_the_page_once() -> None:
    rows = _rows(generate_alerts.PAGE)
    groups: list[dict[str, Any]] = yaml.safe_load(generate_alerts.RULES.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert [row for row in rows if row.startswith("Atheria")] == [
        rule["alert"] for rule in rules if "alert" in rule
    ]
    text = generate_alerts.PAGE.read_text(encoding="utf-8")
    for rule in rules:
        if "record" in rule:
            default = rule["expr"].removeprefix("vector(").removesuffix(")")
            assert f"| {default} | `{rule['record']}` |" in text
