"""What a query of Prometheus asks for, and what there is to ask: our own metrics, and those of the cluster."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import promql_parser as ql
from prometheus_client import REGISTRY

from admin_flask import metrics as of_manager  # noqa: F401 (they register themselves)
from admin_flask.app import create_app as make_manager
from core.config import Settings
from core.observe import Tallies
from tasks import metrics as of_worker  # noqa: F401
from tasks.queues import POOLS
from tests.manifests.render import ROOT

TARGET = {"namespace", "pod", "container"}
"""Labels that every series has from the pod that it was read of."""

CLUSTER = {
    "kube_deployment_status_replicas_available": ("gauge", {"namespace", "deployment"}),
    "kube_pod_container_status_restarts_total": ("counter", TARGET),
}
"""Of kube-state-metrics, which comes with the usual Prometheus operator: kind, and the labels that we use."""

_RISES = ("rate", "increase", "absent", "count")


@dataclass(frozen=True)
class Metric:
    """Something that can be asked: a kind of Prometheus, labels, and the text that lists the values of labels."""

    kind: str
    labels: frozenset[str]
    words: str = ""


@dataclass(frozen=True)
class Use:
    """A metric in a query: which values of labels are wanted, and what stands around it."""

    name: str
    wanted: tuple[tuple[str, str, str], ...]
    around: tuple[str, ...]


def ours() -> dict[str, Metric]:
    """Every metric of docs/metrics.md, which a test keeps equal to what the programs show."""
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(rastro_\w+)` \| (\w+) \|(.*?)\| (?:tracker|manager|worker)[^|]* \| (.*) \|$", page, re.M
    )
    return {
        name: Metric(kind, frozenset(re.findall(r"`(\w+)`", labels)), words)
        for name, kind, labels, words in rows
    }


def labels_shown() -> dict[str, frozenset[str]]:
    """The labels with which the programs register their metrics; those that are made at each look are not in it."""
    found = {}
    for collector, names in REGISTRY._collector_to_names.items():
        labels = (
            (collector._label,) if isinstance(collector, Tallies) else getattr(collector, "_labelnames", None)
        )
        if labels is not None:
            found |= {name: frozenset(labels) for name in names}
    return found


def there_is(name: str) -> Metric:
    """The metric of that name, parts of a histogram included. Raises KeyError where there is none."""
    if name in CLUSTER:
        kind, labels = CLUSTER[name]
        return Metric(kind, frozenset(labels))
    if name.startswith("process_"):
        kind = {family.name: family.type for family in REGISTRY.collect()}[name.removesuffix("_total")]
        return Metric(kind, frozenset(TARGET))
    known = ours()
    whole = re.sub(r"_(bucket|sum|count)$", "", name)
    if whole in known and known[whole].kind == "histogram" and whole != name:
        le = {"le"} if name.endswith("_bucket") else set()
        return Metric("counter", known[whole].labels | TARGET | le, known[whole].words)
    metric = known[name]
    assert metric.kind != "histogram", f"{name} is asked as _bucket, _sum or _count"
    return Metric(metric.kind, metric.labels | TARGET, metric.words)


def uses(query: str) -> Iterator[Use]:
    """Every metric that a query names. Raises ValueError where Prometheus would not take it."""
    yield from _uses(ql.parse(query), ())


def _uses(part: ql.Expr, around: tuple[str, ...]) -> Iterator[Use]:
    match part:
        case ql.VectorSelector():
            wanted = tuple((one.name, str(one.op), one.value) for one in part.matchers.matchers)
            yield Use(part.name or "", wanted, (*around, *(["offset"] if part.offset else [])))
        case ql.MatrixSelector():
            yield from _uses(part.vector_selector, around)
        case ql.Call():
            for inner in part.args:
                yield from _uses(inner, (*around, part.func.name))
        case ql.AggregateExpr():
            yield from _uses(part.expr, (*around, str(part.op)))
        case ql.BinaryExpr():
            yield from _uses(part.lhs, around)
            yield from _uses(part.rhs, around)
        case ql.ParenExpr() | ql.UnaryExpr() | ql.SubqueryExpr():
            yield from _uses(part.expr, around)
        case _:
            assert isinstance(part, ql.NumberLiteral | ql.StringLiteral)


def _is_value(metric: Metric, label: str, value: str) -> bool:
    if label == "queue":
        return value in POOLS["default"]
    if label == "view":
        return any(re.fullmatch(value, view) for view in _views())
    if label == "status":
        return re.fullmatch(r"[1-5](\d\d|\.\.)", value) is not None
    return f"`{value}`" in metric.words  # all of them are listed there


@cache
def _views() -> tuple[str, ...]:
    settings = {"DATABASE_URL": "postgresql://x@/x", "REDIS_URL": "redis://x", "SECRET_KEY": "x" * 64}
    manager = make_manager(Settings.from_env(settings))
    return tuple(rule.endpoint for rule in manager.url_map.iter_rules())


def groups(query: str) -> set[str]:
    """Every label that something is grouped by."""
    found: set[str] = set()

    def look(part: ql.Expr) -> bool:
        if isinstance(part, ql.AggregateExpr) and part.modifier is not None:
            assert part.modifier.type == ql.AggModifierType.By
            found.update(part.modifier.labels)
        return True

    ql.walk(ql.parse(query), look)
    return found


def check(query: str) -> None:
    """Fails where a query asks for what no program shows, or adds up what must not be added up."""
    given: set[str] = set()
    asked = list(uses(query))
    assert asked
    rising = {use.name for use in asked if set(use.around) & {*_RISES, "offset"}}
    for use in asked:
        metric = there_is(use.name)
        given |= metric.labels
        if metric.kind == "counter":  # how much it rose, and not how high it stands
            assert use.name in rising, f"{use.name} is a counter"
        else:
            assert not set(use.around) & {"rate", "increase"}, f"{use.name} is no counter"
        if use.name.startswith("rastro_queue_"):  # all workers show the same
            assert set(use.around) & {"max", "absent", "count"}, f"{use.name} is the same in every worker"
        for label, sign, text in use.wanted:
            assert label in metric.labels, f"{use.name} has no {label}"
            if use.name.startswith("rastro_") and label in ours().get(use.name, metric).labels - TARGET:
                for value in text.split("|") if "Re" in sign else [text]:
                    assert _is_value(metric, label, value), f"{use.name} has no {label} {value}"
    assert groups(query) <= given, f"{groups(query) - given} is no label of what is grouped"
