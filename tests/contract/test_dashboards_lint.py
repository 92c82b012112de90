"""The dashboards in the chart: current, complete, laid out without overlap, and about metrics that the parts really have."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest

from tests.contract import expositions
from tests.contract.chart import CHART, ROOT, one, refused, render

BOARDS: Final = {
    path.name: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((CHART / "dashboards").glob("*.json"))
}
EACH_BOARD = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())
DCGM: Final = "DCGM_FI_"
"""NVIDIA's exporter; none of ours."""
_NO_METRICS: Final = frozenset(
    {
        *("sum", "count", "max", "min", "avg", "by", "on", "or", "and", "bool", "vector", "clamp_min"),
        *("rate", "increase", "histogram_quantile", "label_replace", "avg_over_time"),
    }
)
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DATA_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def panels_of(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def metrics_in(expr: str) -> set[str]:
    """Names of metrics in a query: words that are no function, no label and no text."""
    without_labels = re.sub(r"\{[^}]*\}", "", re.sub(r'"[^"]*"', "", expr))
    without_lists = re.sub(r"\b(by|on|group_left)\s*\([^)]*\)", " ", without_labels)
    without_windows = re.sub(r"\[[^]]*\]|offset \$\w+", "", without_lists)
    return set(_WORD.findall(without_windows)) - _NO_METRICS


def test_there_is_a_dashboard_for_each_subject() -> None:
    assert {board["uid"] for board in BOARDS.values()} == {
        "atheria-fleet",
        "atheria-model",
        "atheria-autoscaler",
        "atheria-gpu",
        "atheria-health",
    }


@EACH_BOARD
def test_every_metric_is_one_that_a_part_has(board: dict[str, Any]) -> None:
    known = expositions.series_names()
    for panel in panels_of(board):
        for target in panel["targets"]:
            for name in metrics_in(target["expr"]):
                assert name in known or name.startswith(DCGM), (panel["title"], name)


def test_the_names_in_a_query_are_found() -> None:
    expr = 'sum by (model) (rate(a_total{x=~"$b_total"}[$__rate_interval])) / on (c) group_left (d) e_seconds or vector(0) - f offset $__rate_interval'
    assert metrics_in(expr) == {"a_total", "e_seconds", "f"}


@EACH_BOARD
def test_every_panel_has_a_title_a_description_a_unit_and_a_word_for_nothing(board: dict[str, Any]) -> None:
    titles = [panel["title"] for panel in panels_of(board)]
    assert all(titles)
    for panel in panels_of(board):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith((".", "?")), panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"], panel["title"]


@EACH_BOARD
def test_every_query_names_itself_and_asks_the_chosen_data_source(board: dict[str, Any]) -> None:
    sources = [variable for variable in board["templating"]["list"] if variable["type"] == "datasource"]
    assert [(one["name"], one["query"]) for one in sources] == [("datasource", "prometheus")]
    for panel in panels_of(board):
        assert panel["datasource"] == _DATA_SOURCE, panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert len(letters) == len(set(letters)) > 0, panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == _DATA_SOURCE, panel["title"]
            assert target["refId"], panel["title"]


@EACH_BOARD
def test_every_rate_is_over_grafanas_own_windows_and_every_variable_is_there(board: dict[str, Any]) -> None:
    variables = {variable["name"] for variable in board["templating"]["list"]} | {
        "__rate_interval",
        "__range",
    }
    for panel in panels_of(board):
        for target in panel["targets"]:
            for function, window in re.findall(r"(rate|increase)\([^[]*\[([^]]*)\]", target["expr"]):
                allowed = {"$__rate_interval"} | ({"$__range"} if function == "increase" else set())
                assert window in allowed, panel["title"]
            used = set(re.findall(r"\$([A-Za-z_]\w*)", target["expr"]))
            assert used <= variables, panel["title"]


@EACH_BOARD
def test_no_two_panels_have_one_id_or_one_place(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, panel["title"]
    for first, second in combinations(board["panels"], 2):
        a, b = first["gridPos"], second["gridPos"]
        is_apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert is_apart, f"{first['title']} lies over {second['title']}"


@EACH_BOARD
def test_a_dashboard_leads_to_the_others_and_is_in_the_docs(board: dict[str, Any]) -> None:
    assert board["tags"] == ["atheria"]
    assert [link["tags"] for link in board["links"]] == [["atheria"]]
    assert f"`{board['uid']}`" in (ROOT / "docs" / "dashboards.md").read_text(encoding="utf-8")


def test_the_chart_ships_each_for_grafanas_sidecar_where_that_is_asked_for() -> None:
    for name, board in BOARDS.items():
        short = board["uid"].removeprefix("atheria-")
        found = one(render("--set", "dashboards.enabled=true"), "ConfigMap", f"atheria-dashboard-{short}")
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert found["metadata"]["annotations"] == {"grafana_folder": "Atheria"}
        assert json.loads(found["data"][name]) == board, "Helm changed it"
    assert not [item for item in render() if "dashboard" in item["metadata"]["name"]]


def test_the_sidecars_label_and_folder_can_be_others_and_a_misspelt_key_is_refused() -> None:
    values = ("label=mine", "labelValue=yes", "folderAnnotation=folder", "folder=Models", "enabled=true")
    chosen = [
        part
        for value in values
        for part in ("--set-string" if "Value" in value else "--set", f"dashboards.{value}")
    ]
    metadata = one(render(*chosen), "ConfigMap", "atheria-dashboard-gpu")["metadata"]
    assert metadata["labels"]["mine"] == "yes"
    assert metadata["annotations"] == {"folder": "Models"}
    assert "lable" in refused("--set", "dashboards.lable=mine")


def test_no_file_is_too_large_for_a_config_map() -> None:
    for path in Path(CHART / "dashboards").glob("*.json"):
        assert path.stat().st_size < 500_000, path.name


def test_the_latency_of_a_model_leads_to_traces() -> None:
    panels = {panel["title"]: panel for panel in panels_of(BOARDS["atheria-model.json"])}
    for title in ("Latency", "Latency quantiles"):
        asking = [target for target in panels[title]["targets"] if target.get("exemplar")]
        # One of them: each would draw the same points.
        assert len(asking) == 1, title
