"""Alerts ask metrics that exist, and each of them leads to an entry of the documentation."""

import re

import pytest

from tests.manifests.cluster import cluster
from tests.manifests.promql import check
from tests.manifests.render import ROOT, Object

TEXT = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^#+ (Rastro[A-Za-z]+)$", TEXT, re.M)


def alerts() -> list[Object]:
    """The rules of every group."""
    (rules,) = cluster("overlays/eks").all("PrometheusRule")
    return [rule for group in rules["spec"]["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_it_asks_metrics_and_labels_that_exist(rule: Object) -> None:
    check(rule["expr"])


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
