"""Writes a dashboard for Grafana (NAME.json) from each NAME.yaml beside it: `python .../dashboards/make.py`.

The YAML says what a panel asks and how to read it; what all panels have alike (place, data source, look) is here.
Tests ask that the JSON is what this makes, and that every query asks for something that exists.

A page: `title`, `about`, `rows` of `panels`; `since` (now-6h). A panel: `title`, `about`, `unit`, `queries` of `query`
and `legend`; and where they differ from what stands in brackets `kind` (timeseries; or stat, one figure), `width` of 24
and `height` (8; a figure 4), `steps` (from which value on which colour holds), `alert` (which watches the same),
`stacked`, `bars`, `interval` (least time between points), `since`, `most` (upper end of the axis). `{@}` in a query
chooses the namespace.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

HERE = Path(__file__).parent
SCHEMA = 39
"""Of Grafana 11.0; later ones read it."""

ALL = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RUNBOOK = "docs/troubleshooting.md"
PAGE = {"title", "about", "rows", "since"}
PANEL = {
    *("title", "about", "unit", "queries", "kind", "width", "height", "steps", "alert", "stacked", "bars"),
    *("interval", "since", "most"),
}


def files() -> dict[str, str]:
    """Name of a file -> what is in it. Raises ValueError for a word that is not known."""
    return {
        f"{source.stem}.json": json.dumps(_page(source.stem, _read(source)), indent=1) + "\n"
        for source in sorted(HERE.glob("*.yaml"))
    }


def _read(source: Path) -> Json:
    told: Json = yaml.safe_load(source.read_text(encoding="utf-8"))
    unknown = set(told) - PAGE
    for row in told["rows"]:
        unknown |= set(row) - {"title", "panels"}
        for panel in row["panels"]:
            unknown |= set(panel) - PANEL
            for query in panel["queries"]:
                unknown |= set(query) - {"query", "legend"}
    if unknown:
        raise ValueError(f"{source}: {', '.join(sorted(unknown))} is not known")
    return told


def _page(name: str, told: Json) -> Json:
    return {
        "uid": f"rastro-{name}",
        "title": told["title"],
        "description": told["about"],
        "tags": ["rastro"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": told.get("since", "now-6h"), "to": "now"},
        "annotations": {"list": []},
        "links": [
            {
                "type": "dashboards",
                "title": "Rastro",
                "tags": ["rastro"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
            }
        ],
        "templating": {"list": [_source(), _namespace()]},
        "panels": list(_panels(told["rows"])),
    }


def _source() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
    }


def _namespace() -> Json:
    return {
        "name": "namespace",
        "label": "Namespace",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": "label_values(rastro_spooled, namespace)", "refId": "namespace"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
    }


def _panels(rows: list[Json]) -> Iterator[Json]:
    """Rows below one another; the panels of a row from left to right, in as many lines as they need."""
    count, y = 0, 0
    for row in rows:
        count += 1
        yield {
            "id": count,
            "type": "row",
            "title": row["title"],
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": ALL, "h": 1},
            "panels": [],
        }
        y, x, tallest = y + 1, 0, 0
        for panel in row["panels"]:
            small = panel.get("kind") == "stat"
            width, height = panel.get("width", 4 if small else 8), panel.get("height", 4 if small else 8)
            if x + width > ALL:
                y, x, tallest = y + tallest, 0, 0
            count += 1
            yield _panel(panel, count, {"x": x, "y": y, "w": width, "h": height})
            x, tallest = x + width, max(tallest, height)
        y += tallest


def _panel(panel: Json, number: int, place: Json) -> Json:
    kind = panel.get("kind", "timeseries")
    about = panel["about"]
    if alert := panel.get("alert"):
        about += f"\n\nWatched by the alert {alert}: {RUNBOOK}#{alert.lower()}"
    made: Json = {
        "id": number,
        "type": kind,
        "title": panel["title"],
        "description": about,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + place_in_list),
                "datasource": SOURCE,
                "editorMode": "code",
                "expr": asked["query"].replace("@", 'namespace="$namespace"'),
                "legendFormat": asked.get("legend", "__auto"),
                "range": kind == "timeseries",
                "instant": kind == "stat",
            }
            for place_in_list, asked in enumerate(panel["queries"])
        ],
        "fieldConfig": {"defaults": _look(panel), "overrides": []},
        "options": _FIGURE if kind == "stat" else _LINES,
    }
    if "interval" in panel:
        made["interval"] = panel["interval"]
    if "since" in panel:
        made["timeFrom"] = panel["since"]
    return made


def _look(panel: Json) -> Json:
    steps = [{"color": "green", "value": None}]
    steps += [{"color": color, "value": value} for value, color in panel.get("steps", ())]
    look: Json = {
        "unit": panel["unit"],
        "color": {"mode": "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.get("kind") != "stat":
        look["min"] = 0
        if "most" in panel:
            look["max"] = panel["most"]
        look["color"] = {"mode": "palette-classic"}
        look["custom"] = {
            "drawStyle": "bars" if panel.get("bars") else "line",
            "fillOpacity": 60 if panel.get("bars") else 10,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.get("stacked") else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if "steps" in panel else "off"},
        }
    return look


_FIGURE = {
    "colorMode": "value",
    "graphMode": "none",
    "justifyMode": "auto",
    "textMode": "auto",
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
}
_LINES = {
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
    "tooltip": {"mode": "multi", "sort": "desc"},
}


def main() -> None:
    """Write them all."""
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
