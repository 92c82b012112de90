"""Panels as Grafana's JSON has them: queries in, a dict out. Where a panel lies is decided by `board`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

DATA_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
FULL_WIDTH: Final = 24
"""Columns of Grafana's grid."""
_COLUMN_PIXELS: Final = 90
"""Of a table, at least: Grafana's own choice hides the last ones of many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PromQL query of a panel."""

    expr: str
    legend: str = ""
    """Grafana's template of a series' name, e.g. `{{model}}`."""
    name: str = ""
    """Title of the column in a table."""
    has_exemplars: bool = False
    """Grafana asks Prometheus for examples of traces, too, and draws them as points that lead there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel without its place."""

    title: str
    width: int
    """Of FULL_WIDTH."""
    height: int
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How values are shown."""

    unit: str
    """Id of a unit of Grafana, e.g. `s`, `reqps`, `percentunit`; `short` = a number of things."""
    empty: str = "no data"
    """What is shown where the query finds nothing."""
    decimals: int | None = None
    lowest: float | None = 0
    highest: float | None = None
    limits: tuple[tuple[float, str], ...] = ()
    """(from this value on, colour), ascending; green below."""


def timeseries(
    title: str,
    description: str,
    look: Look,
    *queries: Query,
    width: int = 8,
    height: int = 8,
    is_stacked: bool = False,
) -> Panel:
    """Lines over time, or stacked areas."""
    custom = {
        "drawStyle": "line",
        "fillOpacity": 25 if is_stacked else 8,
        "lineWidth": 1,
        "showPoints": "auto",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if is_stacked else "none"},
    }
    return _panel(
        "timeseries",
        title,
        description,
        width,
        height,
        {
            "fieldConfig": _fields(look, custom),
            "options": {
                "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            },
            "targets": _targets(queries),
        },
    )


def stat(title: str, description: str, look: Look, query: Query, *, width: int = 4, height: int = 4) -> Panel:
    """One number, and its line in small."""
    return _panel(
        "stat",
        title,
        description,
        width,
        height,
        {
            "fieldConfig": _fields(look),
            "options": {
                "colorMode": "value",
                "graphMode": "area",
                "justifyMode": "auto",
                "orientation": "auto",
                "reduceOptions": _LAST,
                "textMode": "value",
            },
            "targets": _targets((query,)),
        },
    )


def bars(title: str, description: str, look: Look, *queries: Query, width: int = 8, height: int = 8) -> Panel:
    """A bar for each series with its last value."""
    return _panel(
        "bargauge",
        title,
        description,
        width,
        height,
        {
            "fieldConfig": _fields(look),
            "options": {
                "displayMode": "basic",
                "minVizHeight": 16,
                "orientation": "horizontal",
                "reduceOptions": _LAST,
                "showUnfilled": True,
                "valueMode": "color",
            },
            "targets": _targets(queries, is_instant=True),
        },
    )


def heatmap(title: str, description: str, look: Look, query: Query, *, width: int = 12) -> Panel:
    """Counts by bucket over time; the query keeps `le` and nothing else."""
    (target,) = _targets((query,))
    return _panel(
        "heatmap",
        title,
        description,
        width,
        8,
        {
            "fieldConfig": _fields(look),
            "options": {
                "calculate": False,
                "cellGap": 1,
                "color": {"exponent": 0.5, "mode": "scheme", "scheme": "Oranges", "steps": 64},
                "exemplars": {"color": "rgba(31, 96, 196, 0.9)"},
                "filterValues": {"le": 1e-9},
                "legend": {"show": True},
                "tooltip": {"mode": "single", "yHistogram": False},
                "yAxis": {"axisPlacement": "left", "unit": look.unit},
            },
            "targets": [{**target, "format": "heatmap", "legendFormat": "{{le}}"}],
        },
    )


def table(
    title: str,
    description: str,
    look: Look,
    *queries: Query,
    hidden: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
    width: int = FULL_WIDTH,
    height: int = 8,
) -> Panel:
    """One row for each set of labels, one column for each query (its `name`); `units` by that name, where it is not the look's."""
    targets = [{**target, "format": "table"} for target in _targets(queries, is_instant=True)]
    # Grafana numbers the columns only where there are several.
    columns = {
        ("Value" if len(queries) == 1 else f"Value #{target['refId']}"): query.name
        for target, query in zip(targets, queries, strict=True)
    }
    overrides = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "unit", "value": unit}],
        }
        for name, unit in (units or {}).items()
    ]
    return _panel(
        "table",
        title,
        description,
        width,
        height,
        {
            "fieldConfig": {**_fields(look, {"minWidth": _COLUMN_PIXELS}), "overrides": overrides},
            "options": {"cellHeight": "sm", "showHeader": True},
            "targets": targets,
            "transformations": [
                {"id": "merge", "options": {}},
                {
                    "id": "organize",
                    "options": {
                        "excludeByName": dict.fromkeys(("Time", *hidden), True),
                        "renameByName": columns,
                    },
                },
            ],
        },
    )


_LAST: Final = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def _panel(
    kind: str, title: str, description: str, width: int, height: int, body: Mapping[str, Any]
) -> Panel:
    return Panel(
        title=title,
        width=width,
        height=height,
        body={
            "type": kind,
            "title": title,
            "description": description,
            "datasource": DATA_SOURCE,
            **body,
        },
    )


def _targets(queries: Sequence[Query], *, is_instant: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "datasource": DATA_SOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "instant": is_instant,
            "legendFormat": query.legend or "__auto",
            "range": not is_instant,
            "refId": chr(ord("A") + place),
            **({"exemplar": True} if query.has_exemplars else {}),
        }
        for place, query in enumerate(queries)
    ]


def _fields(look: Look, custom: Mapping[str, Any] | None = None) -> dict[str, Any]:
    steps = [{"color": "green", "value": None}, *({"color": c, "value": v} for v, c in look.limits)]
    defaults: dict[str, Any] = {
        "color": {"mode": "palette-classic" if custom and "drawStyle" in custom else "thresholds"},
        "noValue": look.empty,
        "thresholds": {"mode": "absolute", "steps": steps},
        "unit": look.unit,
    }
    bounds = {"decimals": look.decimals, "min": look.lowest, "max": look.highest}
    defaults |= {name: value for name, value in bounds.items() if value is not None}
    if custom:
        defaults["custom"] = dict(custom)
    return {"defaults": defaults, "overrides": []}
