"""Dashboards are what Grafana reads, and ask for nothing that no program shows."""

import json
import re
from typing import Any

import jsonschema
import pytest

from manifests.components.monitoring.dashboards import make
from tests.manifests.cluster import PROGRAMS, cluster
from tests.manifests.promql import check, labels_shown, ours, uses
from tests.manifests.render import Object, containers
from tests.manifests.test_alerts import alerts

GRID = 24

LEFT_OUT: set[str] = set()
"""Metrics of docs/metrics.md that are on no dashboard, and on purpose."""


def pages() -> dict[str, Object]:
    """File -> dashboard, as the cluster gets them."""
    found = cluster("overlays/eks").one("ConfigMap", "rastro-dashboards")
    return {name: json.loads(text) for name, text in found["data"].items()}


def panels(page: Object) -> list[Object]:
    """The panels that show something: all but the headings of rows."""
    return [one for one in page["panels"] if one["type"] != "row"]


def query_of(target: Object) -> str:
    """As Grafana sends it."""
    return str(target["expr"]).replace("$__rate_interval", "5m").replace("$namespace", "rastro")


QUERIES = [
    pytest.param(query_of(target), id=f"{name}-{panel['title']}-{target['refId']}")
    for name, page in pages().items()
    for panel in panels(page)
    for target in panel["targets"]
]


def test_it_is_what_the_descriptions_make() -> None:
    """Else run manifests/components/monitoring/dashboards/make.py."""
    made = make.files()
    assert pages() == {name: json.loads(text) for name, text in made.items()}
    assert {name: (make.HERE / name).read_text(encoding="utf-8") for name in made} == made
    assert sorted(path.name for path in make.HERE.glob("*.json")) == sorted(made)


def test_it_has_a_page_for_each_question() -> None:
    assert set(pages()) == {"tracker.json", "queues.json", "manager.json", "business.json"}


def test_it_is_found_by_the_sidecar_of_grafana() -> None:
    labels = cluster("overlays/eks").one("ConfigMap", "rastro-dashboards")["metadata"]["labels"]
    assert labels["grafana_dashboard"] == "1"


@pytest.mark.parametrize("name", sorted(pages()))
def test_it_has_what_grafana_asks_for_and_nothing_else(name: str) -> None:
    jsonschema.Draft202012Validator(PAGE).validate(pages()[name])


def test_it_refuses_a_field_that_is_not_known() -> None:
    page = pages()["tracker.json"]
    page["panels"][1]["fieldConfig"]["defaults"]["units"] = "s"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(PAGE).validate(page)


def test_it_gives_each_page_and_panel_an_id_of_its_own() -> None:
    uids = [page["uid"] for page in pages().values()]
    assert len(uids) == len(set(uids))
    titles = [page["title"] for page in pages().values()]
    assert len(titles) == len(set(titles))
    for page in pages().values():
        ids = [one["id"] for one in page["panels"]]
        assert len(ids) == len(set(ids))
        for panel in panels(page):
            refs = [target["refId"] for target in panel["targets"]]
            assert len(refs) == len(set(refs))


@pytest.mark.parametrize("name", sorted(pages()))
def test_it_lays_no_panel_over_another(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in pages()[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies over {taken[x, y]}"
                taken[x, y] = panel["title"]


@pytest.mark.parametrize("query", QUERIES)
def test_it_asks_metrics_and_labels_that_exist(query: str) -> None:
    check(query)


@pytest.mark.parametrize("query", QUERIES)
def test_it_asks_within_the_namespace_that_was_chosen(query: str) -> None:
    for use in uses(query):
        assert ("namespace", "MatchOp.Equal", "rastro") in use.wanted


@pytest.mark.parametrize("query", QUERIES)
def test_it_names_pods_and_containers_that_the_manifests_have(query: str) -> None:
    eks = cluster("overlays/eks")
    names = {one["name"] for deployment in eks.all("Deployment") for one in containers(deployment)}
    for use in uses(query):
        for label, _, text in use.wanted:
            if label == "deployment":
                assert text in PROGRAMS
            if label == "container":
                assert text in names
            if label == "pod":
                assert any(re.fullmatch(text, f"{deployment}-5d9c-x7k2") for deployment in PROGRAMS)


def test_it_names_labels_in_legends_that_the_query_keeps() -> None:
    for page in pages().values():
        for panel in panels(page):
            for target in panel["targets"]:
                kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \((.*?)\)", target["expr"]))))
                assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]
                several = len(panel["targets"]) > 1
                assert not several or target["legendFormat"] != "__auto", panel["title"]


def test_it_shows_every_metric_that_an_operator_needs() -> None:
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", use.name)
        for page in pages().values()
        for panel in panels(page)
        for target in panel["targets"]
        for use in uses(query_of(target))
    }
    assert set(ours()) - asked == LEFT_OUT


def test_it_knows_the_labels_that_the_programs_give() -> None:
    """The page of metrics, on which these tests lean, names the labels that are registered."""
    shown = labels_shown()
    for name, metric in ours().items():
        registered = shown.get(name, shown.get(name.removesuffix("_total")))
        if registered is not None:
            assert registered == metric.labels, name


def test_it_shows_what_each_alert_watches_and_says_so() -> None:
    """A panel that names an alert asks for the same metric, and sends the reader to the same entry."""
    watched = {rule["alert"]: {use.name for use in uses(rule["expr"])} for rule in alerts()}
    named: set[str] = set()
    for page in pages().values():
        for panel in panels(page):
            for alert in re.findall(r"the alert (\w+): docs/troubleshooting\.md#(\w+)", panel["description"]):
                assert alert[1] == alert[0].lower()
                asked = {use.name for target in panel["targets"] for use in uses(query_of(target))}
                related = watched[alert[0]] | {
                    "rastro_worker_dead_total"
                }  # what the gauge of dead letters counts
                assert asked & related, panel["title"]
                named.add(alert[0])
    assert named == set(watched)


TEXT = {"type": "string", "minLength": 1}
NUMBER = {"type": "number"}
COUNT = {"type": "integer", "minimum": 0}
YES_OR_NO = {"type": "boolean"}


def _map(optional: tuple[str, ...] = (), **fields: Any) -> Object:
    return {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in optional],
        "additionalProperties": False,
    }


def _list(of: Any, least: int = 1) -> Object:
    return {"type": "array", "items": of, "minItems": least}


SOURCE = _map(type={"const": "prometheus"}, uid={"const": "${datasource}"})
PLACE = _map(
    x=COUNT,
    y=COUNT,
    w={"type": "integer", "minimum": 1, "maximum": GRID},
    h={"type": "integer", "minimum": 1},
)
UNITS = ["reqps", "cps", "s", "short", "bytes", "percentunit"]
STEP = _map(color={"enum": ["green", "yellow", "red"]}, value={"type": ["number", "null"]})
PANEL = _map(
    ("interval", "timeFrom"),
    id=COUNT,
    type={"enum": ["timeseries", "stat"]},
    title=TEXT,
    description={"type": "string", "minLength": 10},
    datasource=SOURCE,
    gridPos=PLACE,
    targets=_list(
        _map(
            refId={"type": "string", "pattern": "^[A-Z]$"},
            datasource=SOURCE,
            editorMode={"const": "code"},
            expr=TEXT,
            legendFormat=TEXT,
            range=YES_OR_NO,
            instant=YES_OR_NO,
        )
    ),
    fieldConfig=_map(
        defaults=_map(
            ("min", "max", "custom"),
            unit={"enum": UNITS},
            color=_map(mode={"enum": ["thresholds", "palette-classic"]}),
            thresholds=_map(mode={"const": "absolute"}, steps=_list(STEP)),
            min=NUMBER,
            max=NUMBER,
            custom=_map(
                drawStyle={"enum": ["line", "bars"]},
                fillOpacity=COUNT,
                lineWidth=COUNT,
                showPoints={"const": "never"},
                stacking=_map(mode={"enum": ["none", "normal"]}, group=TEXT),
                thresholdsStyle=_map(mode={"enum": ["off", "dashed"]}),
            ),
        ),
        overrides=_list({}, 0),
    ),
    options={
        "oneOf": [
            _map(
                colorMode=TEXT,
                graphMode=TEXT,
                justifyMode=TEXT,
                textMode=TEXT,
                reduceOptions=_map(calcs=_list(TEXT), fields={"type": "string"}, values=YES_OR_NO),
            ),
            _map(
                legend=_map(displayMode=TEXT, placement=TEXT, showLegend=YES_OR_NO, calcs=_list(TEXT, 0)),
                tooltip=_map(mode=TEXT, sort=TEXT),
            ),
        ]
    },
    interval={"const": "1h"},
    timeFrom={"const": "now/d"},
)
ROW = _map(
    id=COUNT,
    type={"const": "row"},
    title=TEXT,
    collapsed={"const": False},
    gridPos=PLACE,
    panels=_list({}, 0),
)
VARIABLE = _map(
    ("datasource", "sort"),
    name={"enum": ["datasource", "namespace"]},
    label=TEXT,
    type={"enum": ["datasource", "query"]},
    datasource=SOURCE,
    query={"oneOf": [{"const": "prometheus"}, _map(query=TEXT, refId=TEXT)]},
    refresh=COUNT,
    sort=COUNT,
    hide=COUNT,
    multi=YES_OR_NO,
    includeAll=YES_OR_NO,
)
PAGE = _map(
    uid={"type": "string", "pattern": "^rastro-[a-z]{1,30}$"},
    title=TEXT,
    description=TEXT,
    tags={"const": ["rastro"]},
    schemaVersion={"const": 39},
    version=COUNT,
    editable=YES_OR_NO,
    graphTooltip=COUNT,
    timezone={"const": "browser"},
    refresh=TEXT,
    time=_map(**{"from": TEXT, "to": {"const": "now"}}),
    annotations=_map(list=_list({}, 0)),
    links=_list(
        _map(
            type={"const": "dashboards"},
            title=TEXT,
            tags=_list(TEXT),
            asDropdown=YES_OR_NO,
            includeVars=YES_OR_NO,
            keepTime=YES_OR_NO,
            targetBlank=YES_OR_NO,
        )
    ),
    templating=_map(list=_list(VARIABLE, 2)),
    panels=_list({"oneOf": [PANEL, ROW]}),
)
"""Of Grafana's dashboards (the form of 11 and 12 before their schema v2) the fields that we use, and no other."""
