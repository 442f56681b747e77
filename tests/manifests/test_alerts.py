"""Alerts ask metrics that exist, and each of them leads to an entry of the documentation."""

import re

import pytest

from tests.manifests.cluster import cluster
from tests.manifests.render import ROOT, Object

TEXT = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^#+ (Rastro[A-Za-z]+)$", TEXT, re.M)


def alerts() -> list[Object]:
    """The rules of every group."""
    (rules,) = cluster("overlays/eks").all("PrometheusRule")
    return [rule for group in rules["spec"]["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_it_asks_metrics_and_labels_that_exist(rule: Object) -> None:
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(rastro_\w+)` \| (\w+) \|(.*?)\| (?:tracker|worker) \| (.*) \|$", page, re.M)
    kinds = {name: (kind, set(re.findall(r"`(\w+)`", labels)), words) for name, kind, labels, words in rows}
    for asked, chosen in re.findall(r"(rastro_\w+)(?:\{(.*?)\})?", rule["expr"]):
        name = asked.removesuffix("_bucket") if asked.endswith("_bucket") else asked
        kind, labels, words = kinds[name]
        assert (kind == "histogram") == asked.endswith("_bucket")
        if kind == "counter":  # how much it rose, and not how high it stands
            assert re.search(rf"(rate|increase|absent)\({asked}|{asked} offset", rule["expr"])
        for label, value in re.findall(r'(\w+)="(\w+)"', chosen or ""):
            assert label in labels
            assert f"`{value}`" in words
    for group in re.findall(r"by \((.*?)\)", rule["expr"]):
        given = {
            label
            for name in re.findall(r"rastro_\w+?(?=_bucket|\b)", rule["expr"])
            for label in kinds[name][1]
        }
        assert set(group.split(", ")) <= given | {"le", "pod"}


def test_it_leads_each_alert_to_an_entry_and_each_entry_to_an_alert() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert sorted(names) == sorted(HEADINGS)
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/troubleshooting.md#{rule['alert'].lower()}"


def test_it_misses_a_program_by_what_it_alone_shows() -> None:
    """Tracker and worker share some metrics; these are made by one of them, and there from its start."""
    expressions = {rule["alert"]: rule["expr"] for rule in alerts()}
    assert expressions["RastroNoTracker"] == 'absent(rastro_clicks_total{kept="redis"})'
    assert expressions["RastroNoWorker"] == "absent(rastro_queue_waiting)"
    assert [name for name, text in expressions.items() if "absent" in text] == [
        "RastroNoTracker",
        "RastroNoWorker",
    ]


def test_it_takes_the_highest_of_gauges_that_all_workers_show() -> None:
    for rule in alerts():
        for gauge in re.findall(r"(?<!\w)rastro_queue_\w+", rule["expr"]):
            assert f"max by (queue) ({gauge})" in rule["expr"] or f"absent({gauge})" in rule["expr"]
