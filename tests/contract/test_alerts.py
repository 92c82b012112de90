"""The alerts: they fire and are silent as promtool says, name what exists, and each has its page and its tests."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import yaml

from atheria_gateway.core.hold import Refusal
from atheria_local import promtool
from atheria_operator.domain.pods import POD_STUCK
from atheria_operator.domain.rollout.state import Phase as RolloutPhase
from atheria_operator.domain.status.conditions import QUALITY_ACCEPTED
from atheria_operator.domain.status.phases import Phase
from atheria_operator.domain.status.rollout import PROGRESSING
from atheria_server.core.errors import REJECTIONS
from tests.contract.chart import CHART, ROOT, one, render
from tests.contract.expositions import series_names
from tools.chart_values import AlertName

RULES: Final = CHART / "files" / "alerts" / "atheria.yaml"
PAGES: Final = ROOT / "docs" / "runbooks"
TESTS: Final = sorted((ROOT / "tests" / "contract" / "alerts").glob("*.yaml"))
WITH_CRD: Final = ("--api-versions", "monitoring.coreos.com/v1", "--set", "alerts.enabled=true")
_METRIC: Final = re.compile(r"\batheria[_:][a-z0-9_:]+")
_LABEL: Final = re.compile(r"\b([a-z]+)=~?\"([^\"]*)\"")
_KNOWN_LABEL_VALUES: Final = {
    "reason": {reason.lower() for reason in REJECTIONS}
    | {reason.value for reason in Refusal}
    | {phase.value for phase in RolloutPhase}
    | {POD_STUCK},
    "phase": {phase.value for phase in Phase} | {"total"},
    "condition": {PROGRESSING, QUALITY_ACCEPTED},
    "status": {"True", "False", "Unknown"},
    "state": {"unschedulable"},
}


def _groups(text: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load(text)["groups"])


def _rules(kind: str) -> list[dict[str, Any]]:
    groups = _groups(RULES.read_text(encoding="utf-8"))
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def _promtool(*arguments: str) -> str:
    """Its words; fails where it fails, skips the test, with the reason, where there is none."""
    program = promtool.find()
    if not program:
        pytest.skip(promtool.MISSING)
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


ALERTS: Final = {rule["alert"]: rule for rule in _rules("alert")}
EACH = pytest.mark.parametrize("name", sorted(ALERTS))


@pytest.mark.parametrize("file", TESTS, ids=lambda path: path.stem)
def test_an_alert_fires_and_is_silent_as_its_file_says(file: Path) -> None:
    _promtool("test", "rules", str(file))


def test_a_rule_that_does_not_fire_is_noticed(tmp_path: Path) -> None:
    text = (ROOT / "tests/contract/alerts/AtheriaNoGpu.yaml").read_text(encoding="utf-8")
    never = re.sub(r"phase=~\"\w+\|\w+\"", 'phase="never"', RULES.read_text(encoding="utf-8"))
    (tmp_path / "rules.yaml").write_text(never, encoding="utf-8")
    wrong = re.sub(r"rule_files: .*", "rule_files: [rules.yaml]", text)
    (tmp_path / "test.yaml").write_text(wrong, encoding="utf-8")
    with pytest.raises(AssertionError, match="AtheriaNoGpu"):
        _promtool("test", "rules", str(tmp_path / "test.yaml"))


def test_no_alert_fires_while_all_models_are_at_zero_and_only_the_operator_has_series(tmp_path: Path) -> None:
    asked = [{"eval_time": "1d", "alertname": name, "exp_alerts": []} for name in ALERTS]
    leads = {"series": "atheria_operator_leader", "values": "1x1500"}
    test = {"interval": "1m", "input_series": [leads], "alert_rule_test": asked}
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": [test]}), encoding="utf-8")
    _promtool("test", "rules", str(file))


def test_there_is_a_file_of_tests_and_a_page_for_each_alert_and_for_nothing_else() -> None:
    assert {path.stem for path in TESTS} == ALERTS.keys()
    assert {path.stem for path in PAGES.glob("*.md")} == ALERTS.keys()
    assert set(get_args(AlertName)) == ALERTS.keys()


@EACH
def test_each_alert_has_a_test_that_fires_and_one_that_is_silent(name: str) -> None:
    file = yaml.safe_load(
        (ROOT / "tests" / "contract" / "alerts" / f"{name}.yaml").read_text(encoding="utf-8")
    )
    outcomes = []
    for test in file["tests"]:
        asked = test["alert_rule_test"]
        assert {one["alertname"] for one in asked} == {name}, test["name"]
        outcomes.append((test["name"].split()[0], any(one["exp_alerts"] for one in asked)))
    assert ("fires", True) in outcomes
    assert ("is", False) in outcomes
    assert all(does_fire == (word == "fires") for word, does_fire in outcomes)


@EACH
def test_each_page_says_what_the_alert_means_how_to_look_and_what_to_do(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n**Means:** ")
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == ["Look", "Do"]
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (PAGES / target).is_file(), f"{name}.md links to {target}, which is not there"


@EACH
def test_each_alert_has_a_severity_a_summary_and_a_description(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"].keys() == {"summary", "description"}


def test_every_metric_of_rules_and_pages_is_one_that_a_program_has() -> None:
    known = series_names() | {rule["record"] for rule in _rules("record")}
    texts = {
        rule.get("alert") or rule["record"]: rule["expr"] for rule in (*_rules("alert"), *_rules("record"))
    }
    pages = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
    for place, text in {**texts, **pages}.items():
        unknown = set(_METRIC.findall(text)) - known
        assert not unknown, f"{place} names {sorted(unknown)}, which no program exports"


def test_every_label_value_of_a_rule_is_one_that_the_code_writes() -> None:
    checked = 0
    for name, rule in ALERTS.items():
        for label, words in _LABEL.findall(rule["expr"]):
            for word in words.split("|"):
                assert word in _KNOWN_LABEL_VALUES[label], f"{name}: {label}={word}"
                checked += 1
    assert checked > 15


def test_promtool_accepts_the_rules_and_those_of_the_chart(tmp_path: Path) -> None:
    rendered = one(render(*WITH_CRD), "PrometheusRule", "atheria")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rendered), encoding="utf-8")
    for file in (RULES, tmp_path / "rules.yaml"):
        _promtool("check", "rules", str(file))
    plain = {
        rule["alert"]: rule["expr"]
        for group in rendered["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert plain == {name: rule["expr"] for name, rule in ALERTS.items()}


def test_the_charts_budgets_are_those_of_the_file_unless_a_value_says_otherwise() -> None:
    def budgets(*arguments: str) -> dict[str, str]:
        groups = one(render(*WITH_CRD, *arguments), "PrometheusRule", "atheria")["spec"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return {rule["record"]: rule["expr"] for rule in rules if "record" in rule}

    shipped = {rule["record"]: rule["expr"] for rule in _rules("record")}
    assert budgets() == shipped
    values = {"modelUsdPerDay": 12.5, "coldStartSeconds": 90}
    assert budgets("--set-json", f"alerts.budgets={json.dumps(values)}") == {
        **shipped,
        "atheria:budget:model_usd_per_day": "vector(12.5)",
        "atheria:budget:cold_start_seconds": "vector(90)",
    }


def test_an_alert_can_be_left_out_and_pages_can_have_an_address() -> None:
    arguments = ("--set", "alerts.disabled={AtheriaNoGpu},alerts.runbookUrl=https://wiki.example/runbooks/")
    groups = one(render(*WITH_CRD, *arguments), "PrometheusRule", "atheria")["spec"]["groups"]
    alerts = {
        rule["alert"]: rule["annotations"] for group in groups for rule in group["rules"] if "alert" in rule
    }
    assert alerts.keys() == ALERTS.keys() - {"AtheriaNoGpu"}
    for name, words in alerts.items():
        assert words["runbook_url"] == f"https://wiki.example/runbooks/{name}.md"


def test_without_the_definition_or_unless_asked_for_there_are_no_rules() -> None:
    assert not [item for item in render("--set", "alerts.enabled=true") if item["kind"] == "PrometheusRule"]
    assert not [item for item in render(*WITH_CRD[:2]) if item["kind"] == "PrometheusRule"]
