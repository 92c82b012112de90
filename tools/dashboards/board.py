"""A dashboard: panels of sections laid out row by row, variables, links to the other dashboards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tools.dashboards.panels import DATA_SOURCE, FULL_WIDTH, Panel

_SCHEMA_VERSION: Final = 39
"""Of Grafana 10.2 and later; newer ones migrate it when they load it."""
TAG: Final = "atheria"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled row with its panels."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One dashboard."""

    uid: str
    """Stable, part of its address; the file is called so too."""
    title: str
    description: str
    sections: tuple[Section, ...]
    variables: tuple[dict[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As Grafana imports it."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": _SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "annotations": {"list": []},
            "links": [
                {
                    "asDropdown": True,
                    "icon": "external link",
                    "includeVars": True,
                    "keepTime": True,
                    "tags": [TAG],
                    "title": "Atheria",
                    "type": "dashboards",
                }
            ],
            "templating": {"list": [_DATA_SOURCE_VARIABLE, *self.variables]},
            "panels": _laid_out(self.sections),
        }


def variable(name: str, label: str, query: str, *, has_all: bool) -> dict[str, Any]:
    """A choice among a label's values; with `has_all` several and all of them."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATA_SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "includeAll": has_all,
        "multi": has_all,
        **({"allValue": ".*", "current": {"text": "All", "value": "$__all"}} if has_all else {}),
        "refresh": 2,
        "sort": 1,
        "hide": 0,
    }


_DATA_SOURCE_VARIABLE: Final = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "hide": 0,
    "includeAll": False,
    "multi": False,
    "refresh": 1,
}


def _laid_out(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Panels from left to right, a new line where one does not fit; ids count up. ValueError for a panel wider than the grid."""
    made: list[dict[str, Any]] = []
    y = 0

    def add(body: dict[str, Any], x: int, width: int, height: int) -> None:
        made.append({"id": len(made) + 1, "gridPos": {"x": x, "y": y, "w": width, "h": height}, **body})

    for section in sections:
        add({"type": "row", "title": section.title, "collapsed": False, "panels": []}, 0, FULL_WIDTH, 1)
        y += 1
        x = line_height = 0
        for panel in section.panels:
            if panel.width > FULL_WIDTH:
                raise ValueError(f"panel {panel.title} is {panel.width} wide: at most {FULL_WIDTH}")
            if x + panel.width > FULL_WIDTH:
                x, y, line_height = 0, y + line_height, 0
            add(dict(panel.body), x, panel.width, panel.height)
            x, line_height = x + panel.width, max(line_height, panel.height)
        y += line_height
    return made
